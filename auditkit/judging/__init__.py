"""Judging: judge specs, rendering, verdict parsing, model clients, the engine and the store."""
