"""The Python of extension pgagent_py; docs/architecture.md says what lives where."""
