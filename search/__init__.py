"""Finds schedules: stages of a search over one state and one budget. Installed as `fewstep.search`."""

if __name__ == "search":
    from fewstep.folders import same

    same(__name__)
else:
    from fewstep.search.find import find
    from fewstep.search.log import Callbacks, WarmStart

__all__ = ["Callbacks", "WarmStart", "find"]
