"""The web service: HTTP API, dashboard, and the runner that works on searches."""
