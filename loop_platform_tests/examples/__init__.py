"""Tests of the examples: what runs in the demo's environment is run there."""
