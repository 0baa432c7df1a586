"""The base of every block of params.yaml: typed, frozen, unknown keys refused."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Values of params.yaml, checked; a plug-in declares its own by subclassing."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
