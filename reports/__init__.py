"""Reports: a run folder's stored evidence as one HTML file and one archival PDF. Imports no torch.

`reports.render.render` writes both; `reports.pdf_verification` checks a PDF against what is attached to it.
"""
