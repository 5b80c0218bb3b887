"""A result in the formats that pipelines read: JUnit XML, SARIF 2.1.0, GitHub, GitLab. Pure functions of a result."""
