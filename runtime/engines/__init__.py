"""Engines: what turns a node into something that runs."""
