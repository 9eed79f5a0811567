"""Routes of the HTTP API, version 1: parse, one call to the store, reply."""
