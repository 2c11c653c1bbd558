"""What new machines are made of: looked up whole before anything is changed, so that mistakes cost nothing."""

from collections.abc import Mapping, Sequence

import msgspec

from deploy.providers.ec2 import images, sizes, subnets
from deploy.providers.ec2.api import Api
from deploy.providers.ec2.images import Image
from deploy.providers.ec2.subnets import Ground, Subnet
from deploy.providers.interface import ProviderError, Wanted


class Choice(msgspec.Struct, frozen=True):
    """How the description asks for machines: `image` and `user` as in Settings; `home`: the cluster's zone, if any."""

    image: str
    user: str | None
    spread: bool
    home: str | None


class Prepared(msgspec.Struct, frozen=True):
    """The image and the subnet of each new machine, by its name."""

    images: Mapping[str, Image]
    places: Mapping[str, Subnet]


def prepare(api: Api, all_wanted: Sequence[Wanted], new: Sequence[Wanted], ground: Ground, choice: Choice) -> Prepared:
    """Looks up what the new ones of the machines need. Raises ProviderError for what would fail later."""
    if not new:
        return Prepared({}, {})
    architectures = sizes.architectures(api, map(sizes.of, new))
    offered = sizes.offered(api, set(map(sizes.of, all_wanted)))
    places = subnets.place(all_wanted, ground, offered, home=choice.home, spread=choice.spread)
    found = {each: images.find(api, choice.image, each, choice.user) for each in sorted(set(architectures.values()))}
    by_name = {wanted.name: found[architectures[sizes.of(wanted)]] for wanted in new}
    for wanted in new:
        _check_volume(wanted, by_name[wanted.name])
    return Prepared(by_name, places)


def _check_volume(wanted: Wanted, image: Image) -> None:
    if wanted.volume_gib < image.gib:
        raise ProviderError(
            f"{wanted.name}: a volume of {wanted.volume_gib} GiB is too small; its image {image.id} needs {image.gib}"
        )
