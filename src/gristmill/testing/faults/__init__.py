"""What goes wrong on the web, played by `gristmill.testing.web.FakeWeb` by path.

``/fault/NAME/anything`` plays NAME; what follows only tells addresses apart. `FAULTS` says of each what a
right crawler makes of it. Faults that need a picture send one that depends on the whole path.
"""

from gristmill.testing.faults import content as content
from gristmill.testing.faults import wire as wire
from gristmill.testing.faults.base import FAULTS, Fault, FaultStage

__all__ = ["FAULTS", "Fault", "FaultStage"]
