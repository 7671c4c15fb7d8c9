"""The set that answers now: it looks once a second whether another has taken its place, and takes that."""

import logging
import os
import threading
import time
from pathlib import Path

from vindima.errors import VindimaError
from vindima.serving import sets
from vindima.serving.answers import Answers

LOOK_SECONDS = 1.0
log = logging.getLogger("vindima.set")


class Current:
    """The answers of the set in the folder `served`, as of the last look.

    `answers` is None as long as no set could be taken, and `refused` says why the newest one was not; the one before
    it goes on answering. Whoever answers a request reads `answers` once, so that no reply is of two sets.
    """

    def __init__(self, served: Path) -> None:
        self.served = served
        self.answers: Answers | None = None
        self.refused: str | None = None
        self._seen: tuple[int, int] | None = None
        self._process = 0
        self._lock = threading.Lock()
        self.look()

    def look(self) -> None:
        """Take the set that is there now, if it is another than the one that was seen last."""
        with self._lock:
            seen = sets.identity(self.served)
            if self.answers and seen == self._seen and not self.refused:
                return
            try:
                self.answers = sets.read_whole(self.served, self._read)
            except VindimaError as error:
                if str(error) != self.refused:
                    self.refused = str(error)
                    self._say_why()
            else:
                log.info("the set of vintage %s answers", self.answers.provenance["vintage"])
                self.refused = None
            self._seen = seen

    def _say_why(self) -> None:
        """Log why the newest set is not taken, once somebody may ask: before, whoever starts the service says it."""
        if self._process:
            kept = "the one before goes on answering" if self.answers else "nothing can be answered"
            log.error("the set was refused, %s: %s", kept, self.refused)

    def _read(self, folder: Path) -> Answers:
        data, identity = sets.service_tables(folder, self.served)
        if self.answers and self.answers.identity == identity:
            return self.answers
        return Answers(data, identity)

    def watch(self) -> None:
        """Look every second from now on, in this process; a second call does nothing."""
        if self._process == os.getpid():
            return
        with self._lock:
            if self._process == os.getpid():
                return
            self._process = os.getpid()
            if self.refused:
                self._say_why()
        threading.Thread(target=self._watch, name="vindima-set", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                self.look()
            except Exception:
                log.exception("looking for a new set failed")
