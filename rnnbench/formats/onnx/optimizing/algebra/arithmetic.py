"""Sums, products and parts of the normal forms of values."""

from __future__ import annotations

from rnnbench.formats.onnx.optimizing.algebra.forms import Affine, Form, Forms, Monomial


def scale(forms: Forms, form: Form, times: float) -> Form:
    """Times a form."""
    if times == 1.0:
        return form
    affine = form.affine
    if affine is not None:
        terms = tuple((s, forms.matrices.scaled(m, times)) for s, m in affine.terms)
        bias = None if affine.bias is None else forms.matrices.scaled(affine.bias, times)
        affine = Affine(terms, bias, affine.width)
    products = tuple((m, times * c) for m, c in form.products)
    return Form(affine, times * form.scalar, products, form.rank)


def add(forms: Forms, a: Form, b: Form) -> Form | None:
    """The sum of two forms."""
    affine = a.affine if b.affine is None else b.affine
    if a.affine is not None and b.affine is not None:
        affine = _sum(forms, a.affine, b.affine)
        if affine is None:
            return None
    products: dict[Monomial, float] = dict(a.products)
    for monomial, times in b.products:
        products[monomial] = products.get(monomial, 0.0) + times
    kept = tuple(sorted((m, c) for m, c in products.items() if c))
    return Form(affine, a.scalar + b.scalar, kept, max(a.rank, b.rank))


def _sum(forms: Forms, a: Affine, b: Affine) -> Affine | None:
    if a.width is not None and b.width is not None and a.width != b.width:
        return None
    terms = dict(a.terms)
    for source, matrix in b.terms:
        known = terms.get(source)
        terms[source] = matrix if known is None else forms.matrices.sum(known, matrix)
    bias = a.bias if b.bias is None else b.bias
    if a.bias is not None and b.bias is not None:
        bias = forms.matrices.sum(a.bias, b.bias)
    return Affine(tuple(sorted(terms.items())), bias, a.width or b.width)


def multiply(forms: Forms, a: Form, b: Form) -> Form | None:
    """The product of two forms, element by element."""
    for one, other in ((a, b), (b, a)):
        if one.affine is None and not one.products:  # a number
            return scale(forms, other, one.scalar)._replace(rank=max(a.rank, b.rank))
    for one, other in ((a, b), (b, a)):
        vector = one.affine is not None and not one.affine.terms and not one.products
        if vector and other.affine is not None and not other.products and not one.scalar:
            return _by_row(forms, other, one)
    products: dict[Monomial, float] = {}
    for m, x in _monomials(forms, a).items():
        for n, y in _monomials(forms, b).items():
            monomial = tuple(sorted((*m, *n)))
            products[monomial] = products.get(monomial, 0.0) + x * y
    return _form_of_monomials(forms, products, max(a.rank, b.rank))


def _by_row(forms: Forms, form: Form, factors: Form) -> Form | None:
    affine, vector = form.affine, factors.affine
    assert affine is not None
    assert vector is not None
    assert vector.bias is not None
    if affine.width is None or affine.width != vector.width:
        return None
    by = vector.bias
    terms = tuple((s, forms.matrices.by_row(m, by)) for s, m in affine.terms)
    bias = None if affine.bias is None else forms.matrices.by_row(affine.bias, by)
    if form.scalar:
        times = forms.matrices.scaled(by, form.scalar)
        bias = times if bias is None else forms.matrices.sum(bias, times)
    return Form(Affine(terms, bias, affine.width), 0.0, (), max(form.rank, factors.rank))


def _monomials(forms: Forms, form: Form) -> dict[Monomial, float]:
    """A form as products of atoms alone; what is affine is one."""
    found: dict[Monomial, float] = dict(form.products)
    affine = form.affine
    if affine is not None:
        times = 1.0
        if affine.bias is None and len(affine.terms) == 1:
            ((source, matrix),) = affine.terms
            times = forms.matrices.of_eye(matrix) or 1.0
            if times != 1.0:
                affine = forms.pure(source).affine
        found[(forms.atom("affine", affine),)] = times
    if form.scalar:
        found[()] = form.scalar
    return found


def _form_of_monomials(forms: Forms, products: dict[Monomial, float], rank: int) -> Form | None:
    """The other way round: an affine value by itself is a part of the sum."""
    scalar = products.pop((), 0.0)
    total = Form(None, scalar, (), rank)
    rest = []
    for monomial, times in products.items():
        if not times:
            continue
        if len(monomial) == 1 and forms.atoms[monomial[0]][0] == "affine":
            alone = scale(forms, Form(forms.atoms[monomial[0]][1], 0.0, (), rank), times)
            joined = add(forms, total, alone)
            if joined is None:
                return None
            total = joined
        else:
            rest.append((monomial, times))
    return total._replace(products=tuple(sorted(rest)))


def rows(forms: Forms, form: Form, start: int, stop: int) -> Form | None:
    """Some of the features: of a sum of products, what each of their atoms has there."""
    affine = None
    if form.affine is not None:
        affine = _rows(forms, form.affine, start, stop)
        if affine is None:
            return None
    products = []
    for monomial, times in form.products:
        atoms = []
        for atom in monomial:
            kind, of = forms.atoms[atom]
            inside = (
                _rows(forms, of, start, stop) if kind == "affine" else rows(forms, of, start, stop)
            )
            if inside is None:
                return None
            atoms.append(forms.atom(kind, inside))
        products.append((tuple(sorted(atoms)), times))
    return Form(affine, form.scalar, tuple(sorted(products)), form.rank)


def _rows(forms: Forms, affine: Affine, start: int, stop: int) -> Affine | None:
    if affine.width is None:
        return None
    if (start, stop) == (0, affine.width):
        return affine
    terms = tuple((s, forms.matrices.rows(m, start, stop)) for s, m in affine.terms)
    bias = None if affine.bias is None else forms.matrices.rows(affine.bias, start, stop)
    return Affine(terms, bias, stop - start)
