"""A bundle in another language: a project that runs it and verifies itself."""
