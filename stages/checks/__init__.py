"""What is wrong with a conversation about an image, found without a model: form, wording and grounding.

``check`` takes any conversation with what is known of its image, so that datasets made elsewhere can be checked too.
Whoever changes what it finds raises the version of ``converse`` and ``caption``, which keep what it lets pass.
"""

from __future__ import annotations

from stages.checks.check import CheckConfig, check
from stages.checks.finding import Context, Finding, FindingType

__all__ = ["CheckConfig", "Context", "Finding", "FindingType", "check"]
