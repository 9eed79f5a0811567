"""Frozen values that search, storage, service and client share."""
