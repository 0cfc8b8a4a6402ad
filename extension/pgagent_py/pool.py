"""The step sessions of one engine: used again while they are fresh, bounded in number."""

from __future__ import annotations

from collections.abc import Iterator

from .session import State, StepSession
from .target import Target

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
SHORTEST_KEPT_SECONDS = 0.8


class Pool:
    """Sessions by target. ``limit``: how many there may be, in use or not."""

    def __init__(self) -> None:
        self.limit = 1
        self.output_limit = 1048576
        self._sessions: list[StepSession] = []
        self._pause_seconds = 0.0
        self._closed_until_seconds = 0.0

    def __iter__(self) -> Iterator[StepSession]:
        return iter(tuple(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)

    def acquire(self, target: Target, now_seconds: float) -> StepSession | None:
        """An idle session for this target, or a new one, still connecting; None: there is none to be had now."""
        for session in reversed(self._sessions):
            if session.state is State.IDLE and not session.taken and session.target == target:
                return _take(session)
        if self.is_paused(now_seconds) or not self._make_room():
            return None
        session = StepSession(target, self.output_limit, now_seconds)
        self._sessions.append(session)
        return _take(session)

    def discard(self, session: StepSession) -> None:
        """Closes a session, or removes one that is closed."""
        session.close()
        if session in self._sessions:
            self._sessions.remove(session)

    def is_paused(self, now_seconds: float) -> bool:
        """Whether the server has lately refused a connection for want of slots."""
        return now_seconds < self._closed_until_seconds

    def pause(self, now_seconds: float) -> None:
        """The server has no connection left: opens none for a while, a longer one each time."""
        self._pause_seconds = min(max(FIRST_PAUSE_SECONDS, self._pause_seconds * 2), LONGEST_PAUSE_SECONDS)
        self._closed_until_seconds = now_seconds + self._pause_seconds

    def resume(self) -> None:
        """A connection was made: the next refusal starts with a short pause again."""
        self._pause_seconds = 0.0

    def trim(self, now_seconds: float, most: int | None = None) -> None:
        """Closes sessions that have been idle for too long, and all idle ones but ``most``: others need connections."""
        idle = sorted(self._idle(), key=lambda session: session.idle_since_seconds, reverse=True)
        for position, session in enumerate(idle):
            surplus = most is not None and position >= most
            if surplus or now_seconds - session.idle_since_seconds > session.target.kept_seconds:
                self.discard(session)

    def discard_ended(self) -> None:
        """Removes idle sessions that have ended while nobody watched them."""
        for session in self._idle():
            if not session.is_alive:
                self.discard(session)

    def shrink(self) -> None:
        """Closes idle sessions that are more than there may be."""
        busy = len(self._sessions) - len(self._idle())
        for session in self._idle()[max(0, self.limit - busy) :]:
            self.discard(session)

    def leave(self, now_seconds: float, most: int) -> None:
        """The engine pauses for an unknown time: only sessions that disturb nobody stay, some still being cleaned."""
        self.trim(now_seconds, most)
        cleaning = [session for session in self._sessions if session.state is State.CLEANING]
        for session in cleaning[max(0, most - len(self._idle())) :]:
            self.discard(session)
        for session in self._idle():
            if session.target.kept_seconds < SHORTEST_KEPT_SECONDS:
                self.discard(session)

    def close(self) -> None:
        """Closes all."""
        for session in self:
            self.discard(session)

    def _idle(self) -> list[StepSession]:
        return [session for session in self._sessions if session.state is State.IDLE and not session.taken]

    def _make_room(self) -> bool:
        """Whether one more may be opened, if need be after closing the one that has been idle longest."""
        if len(self._sessions) < self.limit:
            return True
        idle = self._idle()
        if not idle:
            return False
        self.discard(min(idle, key=lambda session: session.idle_since_seconds))
        return True


def _take(session: StepSession) -> StepSession:
    session.taken = True
    return session
