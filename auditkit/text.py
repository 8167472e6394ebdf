"""Measures of a text: characters, tokens, markdown; reasoning traces split off."""
