"""The dashboard: pages for people, made on the server, kept live by one small script."""
