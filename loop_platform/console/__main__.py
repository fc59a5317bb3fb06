"""`python -m loop_platform.console`: serves the console until it is stopped."""

import uvicorn

from loop_platform import database
from loop_platform.console.app import create_app
from loop_platform.settings import settings


def main() -> None:
    app = create_app(settings(), database.engine())
    uvicorn.run(
        app, host=settings().host, port=settings().console.port, log_level="warning", workers=1
    )


if __name__ == "__main__":
    main()
