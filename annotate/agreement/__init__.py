"""How far annotators agree on which words matter, with intervals that respect repeated paragraphs.

Everything pooled is a function of a few counts a paragraph, so the bootstrap resamples unique paragraphs by
weighting their counts. Two or more annotators are compared in pairs and all together, by segment, each with
itself where it was asked again, and each with a rule that only looks at shared words. Models and rules are compared
with people by what people agree on with each other.
"""

from annotate.agreement.measure import agreement
from annotate.agreement.records import (
    CONVENTIONS,
    Agreement,
    AlternativeTest,
    AnnotatorSummary,
    Baseline,
    Estimate,
    Figures,
    Many,
    ManyFigures,
    PairAgreement,
    PairedParagraph,
    PeopleComparison,
    PeopleFigures,
    PersonTest,
    Retest,
)

__all__ = [
    "CONVENTIONS",
    "Agreement",
    "AlternativeTest",
    "AnnotatorSummary",
    "Baseline",
    "Estimate",
    "Figures",
    "Many",
    "ManyFigures",
    "PairAgreement",
    "PairedParagraph",
    "PeopleComparison",
    "PeopleFigures",
    "PersonTest",
    "Retest",
    "agreement",
]
