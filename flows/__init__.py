"""Runs audits: plain functions first, Prefect as a thin skin around them, and the command line."""
