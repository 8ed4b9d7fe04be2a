"""The actions on the swarm's sessions and keeper, and on the user's hooks."""

from typing import Any

from agents.model.action import Action, Held
from agents.model.world import World
from agents.rules.absent import GUARDS
from config.record import dataclass


@dataclass(frozen=True)
class EnsureSessions(Action):
    """Start every missing session, under the launch lock. If another process holds the lock, it starts them."""

    kind = "ensure_sessions"
    expects = "tmux answers; all sessions are there"
    always = "all"

    respawn: tuple[str, ...]  # sessions whose loop is ended first, then started again
    outside: bool  # tmux gives no answer, so a process outside of tmux repairs it

    @property
    def expected(self) -> str:
        """The sessions are there, or, from outside, tmux answers."""
        return "tmux answers" if self.outside else "all sessions are there"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """Every wanted session is there and alive; this is unknown while tmux gives no answer."""
        return _are_there({view.session for view in world.agents} if target == "all" else {target}, world)


@dataclass(frozen=True)
class EnsureGuard(Action):
    """Start or respawn the hang guard's session, and no other."""

    kind = "ensure_guard"
    expects = "the hang guard cycles again"
    always = "bt-operation-hang-guard"

    respawn: tuple[str, ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The session is there and alive; this is unknown while tmux gives no answer."""
        return _are_there({target}, world)


@dataclass(frozen=True)
class RescueSessions(Action):
    """Start every session, in place of the hang guard and the state manager, which are both silent."""

    kind = "rescue_sessions"
    expects = "the hang guard or the state manager cycles again"
    always = "all"

    respawn: tuple[str, ...]

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The hang guard or the state manager has cycled since then."""
        guards = [view for view in world.agents if view.agent in GUARDS]
        return any(view.age_s is not None and view.awaited_s is None and view.loop_life == "running" for view in guards)


@dataclass(frozen=True)
class EnsureKeeper(Action):
    """Start the keeper process. A second keeper ends by itself."""

    kind = "ensure_keeper"
    expects = "the keeper is alive again"
    always = "keeper"

    @classmethod
    def came_true(cls, target: str, world: World, done_at: str) -> Held:
        """The keeper is alive; this is unknown while no keeper is known."""
        return None if world.keeper is None else world.keeper.alive


@dataclass(frozen=True)
class RunHooks(Action):
    """Run the user's on_incident hooks in a process of their own, so that no cycle waits for them."""

    kind = "run_hooks"
    expects = "the user's hooks are told"
    always = "on_incident"

    events: tuple[dict[str, Any], ...]


def _are_there(wanted: set[str], world: World) -> Held:
    if world.sessions is None:
        return None
    return wanted <= {one.name for one in world.sessions if one.alive}
