"""Models by name and identity."""

import pickle
from dataclasses import replace

import pytest

from fewstep.errors import FewstepError, InvalidModel, NotFound, UnknownName
from fewstep.models import zoo
from fewstep.models.reference import ModelReference


def test_a_reference_opens_its_model() -> None:
    """The zoo's reference travels by pickle and opens to the denoiser and the shape of a sample."""
    reference = pickle.loads(pickle.dumps(ModelReference.zoo("digits-mixture")))
    denoiser, shape = reference.open()
    assert denoiser is zoo.load("digits-mixture")
    assert shape == (1, 8, 8)
    assert reference.digest == zoo.describe("digits-mixture").digest


def test_a_reference_to_other_weights_is_refused() -> None:
    """Where the installed weights have another digest the error shows both."""
    reference = replace(ModelReference.zoo("digits-mixture"), digest="0" * 64)
    with pytest.raises(InvalidModel, match=r"submitted with digest 0{16}….*submit it again"):
        reference.open()


@pytest.mark.parametrize("error", [UnknownName("scheduler class", "x", ["a", "b"]), InvalidModel("no"), NotFound("no")])
def test_errors_come_back_from_workers(error: FewstepError) -> None:
    """What opening a model raises travels by pickle with its class and message."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_unknown_sources_and_names_are_refused() -> None:
    """Both errors list what is known."""
    with pytest.raises(UnknownName, match="unknown model source 'web'; known: zoo, folder"):
        replace(ModelReference.zoo("digits-mixture"), source="web").open()
    with pytest.raises(UnknownName, match="unknown zoo model 'sdxl'"):
        ModelReference.zoo("sdxl")
