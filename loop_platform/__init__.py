"""The self-hosted improvement loop for language-model services."""

__version__ = "0.1.0"
