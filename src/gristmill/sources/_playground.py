"""Makes the sources of LLaVA's and InternVL's pictures, which share a tree of folders and one repository of it.

Records of these mixtures name a picture by its place below ``playground/data``, such as ``gqa/images/1.jpg``:
first the family, which is the dataset that the picture comes from. InternVL passes all families on in one hub
repository, laid out so (https://internvl.readthedocs.io/en/latest/internvl1.2/reproduce.html); the names of its
archives are published nowhere, so they are taken by what they begin with, and where none does, the source waits for a
person. No commit of that repository is known in full: what its main branch is when a folder is begun holds for that
folder.
"""

from __future__ import annotations

from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["INTERNVL", "INTERNVL_REVISION", "family", "web"]

INTERNVL = "OpenGVLab/InternVL-Chat-V1-2-SFT-Data"
INTERNVL_REVISION = "main"


def family(
    file: str, *, example: str, below: str = "images/", folder: str, flat: str | None = None
) -> tuple[MemberLayout, ...]:
    """Layouts of a family whose records name a picture by what stands below its folder: ``gqa/images/`` and that.

    Args:
        example: A picture's path in people's trees, from the family's folder on.
        file: Regular expression of that, without groups.
        below: Of what stands before it in archives: a folder, or a regular expression of several.
        folder: Of the family's folder, as people's trees have it.
        flat: Of names without any folder, where they are not like those of other pictures.
    """
    inside, name = example.partition("/")[2], example.rpartition("/")[2]
    layouts = [
        MemberLayout(name="archive", member=rf"{below}({file})", path=r"\1", example=inside),
        MemberLayout(name="tree", member=rf"(?:.*/)?{folder}/{below}({file})", path=r"\1", example=example),
    ]
    if flat is not None:
        layouts.append(MemberLayout(name="flat", member=flat, example=name))
    return tuple(layouts)


def web(key: str, *, title: str, folder: str, archive: str, others: tuple[str, ...] = ()) -> Source:
    """Pictures out of the web that ShareGPT4V was captioned on and passes on itself, as an archive on Drive.

    Args:
        key: Its module's, with dashes.
        title: For ``plan`` and the card.
        folder: Of the family, as records have it.
        archive: Its name on Drive.
        others: Further names of it.
    """
    return Source(
        key=key,
        role="media",
        title=title,
        format="archives",
        hub=INTERNVL,
        revision=INTERNVL_REVISION,
        patterns=(f"data/{folder}*", *others, archive),
        by_hand=f"Fetch {archive} from the folder that ShareGPT4V shares on Drive. Its size is published nowhere.",
        layouts=family(r"[^/]+\.(?:jpe?g|png|webp)", folder=folder, example=f"{folder}/images/1.jpg"),
        license="other",
        access="open",
        terms="academic use only, as ShareGPT4V says",
        address="https://drive.google.com/drive/folders/1tCUQ-sq6vdshZVkF0ZeF3K4eztkXJgax",
        files=1,
    )
