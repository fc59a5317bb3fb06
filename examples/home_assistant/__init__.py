"""The demo: a language model learns home-assistant commands from its users' corrections.

Everything here runs in an environment of its own, without loop_platform, and knows the loop by
HTTP alone.
"""
