"""The group that both programs, and groups within them, are made of: a wrong name gets a suggestion."""

from __future__ import annotations

from difflib import get_close_matches

import click


class CommandGroup(click.Group):
    """A group of commands that suggests one where it has none of the name that was given."""

    group_class = type  # a group within it is of the same kind

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments ask for; say which are there if it is not."""
        name = args[0]
        if not (ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name)):
            names = self.list_commands(ctx)
            close = get_close_matches(name, names)
            guess = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"There are: {', '.join(names)}."
            ctx.fail(f"No such command {name!r}. {guess}")
        return super().resolve_command(ctx, args)
