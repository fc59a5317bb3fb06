"""`loop`: the command line. A command is a file here, imported when it is called."""

import importlib
import tomllib
from typing import Any

import click
import pydantic
import sqlalchemy as sa

from loop_platform.release.registry import UnknownReleaseError
from loop_platform.release.states import RefusedError
from loop_platform.stack.errors import StackError
from loop_platform.stack.supervision import SupervisorError

COMMANDS = {
    "up": "start the whole stack; Ctrl-C ends it",
    "demo": "turn the loop once on a real workload and show what happened",
    "status": "what runs, what is routed, what waits",
    "keys": "create, list and revoke API keys",
    "release": "list, promote and roll back releases",
    "drill": "plant a fault in the running stack and report what happened",
    "pause": "open no new cycle until `loop resume`",
    "resume": "let cycles open again",
    "export": "corrections as JSON lines, an adapter as a folder, a cycle for OpenRLHF",
    "import": "calls that were recorded elsewhere, adapters that were trained elsewhere",
    "expire": "delete what is older than the retention and not labelled",
    "erase": "remove a call or a person from everything",
}
_MODULES = {"resume": "pause", "import": "import_"}


class _Commands(click.Group):
    """Imports a command's module when it is called, and tells errors as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"loop_platform.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command = getattr(module, _attribute(cmd_name))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        try:
            return super().invoke(ctx)
        except (StackError, SupervisorError, UnknownReleaseError, RefusedError) as error:
            raise click.ClickException(str(error)) from error
        except pydantic.ValidationError as error:
            raise click.ClickException(_settings_error(error)) from error
        except tomllib.TOMLDecodeError as error:
            raise click.ClickException(f"loop.toml is no TOML: {error}") from error
        except FileNotFoundError as error:
            raise click.ClickException(str(error)) from error
        except sa.exc.OperationalError as error:
            why = " ".join(str(error.orig).split())
            raise click.ClickException(
                f"the database does not answer: is `loop up` running? ({why})"
            ) from error


@click.group(cls=_Commands)
@click.version_option(package_name="loop-platform")
def main() -> None:
    """The improvement loop for language-model services."""


def _attribute(command: str) -> str:
    return f"{command}_" if command == "import" else command


def _settings_error(error: pydantic.ValidationError) -> str:
    wrong = (
        f"{'.'.join(map(str, detail['loc']))}: {detail['msg']} (got {detail['input']!r})"
        for detail in error.errors()
    )
    return "settings: " + "; ".join(wrong)
