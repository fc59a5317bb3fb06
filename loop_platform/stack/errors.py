"""Why the stack cannot start or go on: a sentence for who typed `loop up`."""


class StackError(RuntimeError):
    """Its text names what is wrong and says what to do."""
