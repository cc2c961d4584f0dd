"""Identify the teachers of a student by digests of their weights; a resumed run needs the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.errors import RunError
from charlm.files.untrusted import InvalidDataError
from charlm.training.distillation import Teacher


class TeacherDigests:
    """The digests of the teachers of a run."""

    def __init__(self, teacher: Teacher | None, paths: Sequence[str], num_replaceable: int) -> None:
        """`paths` are those of `training.teachers`.

        The last `num_replaceable` teachers are members of the student's ensemble. They may have
        been trained longer since a checkpoint of the student.
        """
        self.digests = [network.digest() for network in teacher.networks] if teacher else []
        self._paths = paths
        self._num_fixed = len(self.digests) - num_replaceable

    def check(self, earlier: list[Any], run: Path) -> None:
        """Raise `RunError` if the run had other teachers; `earlier` are the digests it stored.

        Raises `InvalidDataError` if these are not digests.
        """
        if not all(isinstance(digest, str) for digest in earlier):
            raise InvalidDataError("teachers should be digests")
        now, fixed = self.digests, self._num_fixed
        if len(earlier) != len(now) or earlier[:fixed] != now[:fixed]:
            raise RunError(
                f"training.teachers: not the teachers of this run; {self._remedy(earlier, run)}"
            )

    def _remedy(self, earlier: list[str], run: Path) -> str:
        """Return how to resume the run with its teachers: alone, or with its ensemble."""
        now, ensemble = self.digests, run.parent
        members = str(ensemble.resolve() / "member-")
        num_members = sum(path.startswith(members) for path in self._paths)
        num_others = len(now) - num_members
        is_alone = self._num_fixed == len(now) == len(earlier)
        if is_alone and num_members and earlier[:num_others] == now[:num_others]:
            return (
                "the other members of its ensemble have been trained longer, so resume the "
                f"ensemble: `charlm train --resume {ensemble}`"
            )
        return "name the same ones, in their order"
