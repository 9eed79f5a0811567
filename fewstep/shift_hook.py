"""`fewstep.diffusers.shift_hook` under its first name, which stays."""

from fewstep.diffusers.shift_hook import Attachment, attach

__all__ = ["Attachment", "attach"]
