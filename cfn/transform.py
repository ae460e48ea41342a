"""Expands a SAM template into plain CloudFormation, as the AWS::Serverless transform does."""

from __future__ import annotations

import copy
import logging
import os
from typing import Any

from cfn.template import SAM_TRANSFORM, Template, TemplateError, transforms


class _NoManagedPolicies:
    """A loader for samtranslator that knows no policies by name: it would read them from AWS."""

    def load(self) -> dict[str, str]:
        return {}


def expand(template: Template, *, parameters: dict[str, Any], region: str) -> Template:
    """Return the template with SAM's resources expanded; `parameters` are the values by name, defaults applied."""
    declared = transforms(template)
    if unknown := [name for name in declared if name != SAM_TRANSFORM]:
        raise TemplateError(f"The local AWS API does not support the transform {unknown}")
    if not declared:
        return template
    # Imported here: it takes half a second, which the start of the server should not pay.
    from samtranslator.public.exceptions import InvalidDocumentException
    from samtranslator.translator.transform import transform

    # It logs a warning that its own metrics are not published.
    logging.getLogger("samtranslator.metrics.metrics").setLevel(logging.ERROR)
    os.environ.setdefault("AWS_DEFAULT_REGION", region)  # samtranslator derives the ARN partition from it
    values = {**parameters, "AWS::Region": region}
    try:
        expanded: Template = transform(copy.deepcopy(template), values, _NoManagedPolicies())
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"Transform {SAM_TRANSFORM} failed with: {causes}") from error
    expanded.pop("Transform", None)
    expanded.pop("Globals", None)
    return expanded
