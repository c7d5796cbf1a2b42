"""Einsum."""

from __future__ import annotations

from ..table import Case, case, ints, real

CASES: list[Case] = [
    case("Einsum", real(2, 3), real(3, 4), equation="ij,jk->ik", grad=(0, 1)),
    case("Einsum", real(2, 3, 4), real(2, 4, 2), equation="bij,bjk", grad=(0, 1), name="batch, no output"),
    case("Einsum", real(2, 3), equation="ij -> ji", grad=(0,), name="transpose"),
    case("Einsum", real(2, 3), equation="ij->i", grad=(0,), name="sum"),
    case("Einsum", real(2, 3), equation="ij->", grad=(0,), name="sum all"),
    case("Einsum", real(3, 3), equation="ii->i", grad=(0,), name="diagonal"),
    case("Einsum", real(3, 3), real(3), equation="ii,i", grad=(0, 1), name="trace"),
    case("Einsum", real(2, 2, 2), equation="iii->i", grad=(0,), name="cube"),
    case("Einsum", real(2, 1, 3), real(1, 4, 3), equation="...i,...i->...", grad=(0, 1), name="ellipsis"),
    case("Einsum", real(2, 3, 2), real(3, 2), equation="i...j,...k->k...i", grad=(0, 1), name="ellipsis inside"),
    case("Einsum", real(2, 3), real(3, 2), real(2, 2), equation="ab,bc,cd->ad", grad=(0, 1, 2), name="three"),
    case("Einsum", real(2), real(3), equation="i,j->ij", grad=(0, 1), name="outer"),
    case("Einsum", real(2, 3), real(3), equation="ij,k->k", grad=(0, 1), name="nothing shared"),
    case("Einsum", real(), real(2), equation=",i->i", grad=(0, 1), name="scalar"),
    case("Einsum", real(2, 0), real(0, 2), equation="ij,jk->ik", name="empty"),
    case("Einsum", ints(2, 3), ints(3, 2), equation="ij,jk->ik", opset=12, name="int"),
    case("Einsum", real(2, 3), real(3, 2), equation="ij,jk->ik", dtypes=("float16",), name="half"),
]
