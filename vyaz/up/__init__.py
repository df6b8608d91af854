"""Embedded mode, `vyaz up`: PostgreSQL, Valkey, api, beat and workers under one process, data in one folder."""
