"""The document of the page that starts runs: a spec's text, the form made of it, and the mistakes at their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from swath.errors import Mistake, SpecError
from swath.server.forms.form_changes import with_form
from swath.server.forms.form_field import FormField, spec_form
from swath.server.forms.spec_schema import SpecSchema
from swath.server.inquiries import Inquiries
from swath.spec.yaml.document import dotted, parse

FILE = "spec"


@dataclass(frozen=True)
class SpecDocument:
    """A spec as the page shows it."""

    text: str
    form: FormField | None = None
    """None while the text is no YAML, or nothing is known of its pipeline."""
    why: str = ""
    """Why there is no form."""
    mistakes: tuple[Mistake, ...] = ()
    wrong: dict[str, list[str]] = field(default_factory=dict)
    """Messages by the pointer of the field at which they stand."""


class SpecDocuments:
    """Makes documents of one project, with the schemas that an agent has sent."""

    def __init__(self, inquiries: Inquiries, project: str) -> None:
        found = inquiries.schemas(project) if project else None
        self.schema = None if found is None else SpecSchema(found[1])

    def changed(self, shown: str, text: str, sent: dict[str, str], button: str) -> tuple[str, tuple[Mistake, ...]]:
        """The text with what was changed in the form. Its mistakes are of fields that could not be taken over."""
        if self.schema is None:
            return text, ()
        found = with_form(self.schema, shown, text, sent, button)
        return found.text, found.mistakes

    def document(self, text: str, mistakes: Sequence[Mistake] = ()) -> SpecDocument:
        """The document of a text. mistakes: what is known to be wrong with it."""
        found = list(mistakes)
        try:
            parsed = parse(text, FILE)
        except SpecError as error:
            found += [each for each in error.mistakes if each not in found]
            return SpecDocument(text, None, "The form comes back when the text is YAML.", tuple(found))
        found += [each for each in parsed.mistakes if each not in found]
        if self.schema is None:
            why = "The form comes once an agent has read the project's pipelines."
            return SpecDocument(text, None, why, tuple(found))
        form = spec_form(self.schema, parsed)
        if form is None:
            names = ", ".join(self.schema.pipelines)
            return SpecDocument(text, None, f"The text names none of the project's pipelines: {names}.", tuple(found))
        return SpecDocument(text, form, "", tuple(found), _by_field(form, found))


def _by_field(form: FormField, mistakes: Sequence[Mistake]) -> dict[str, list[str]]:
    """The messages of mistakes by the field that is nearest to them."""
    fields = {dotted(each.path): each for each in form.fields}
    found: dict[str, list[str]] = {}
    for mistake in mistakes:
        name = mistake.field if mistake.file == FILE else ""
        while name and name not in fields:
            name = name.rpartition(".")[0]
        if name:
            found.setdefault(fields[name].pointer, []).append(mistake.message)
    return found
