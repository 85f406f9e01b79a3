"""Which names a notebook's cells read and bind, found from their code without running it.

What is found: a name that a cell reads before it binds it itself (so another cell must have), and
the names that it binds for others. A function's body reads its names when it is called: they count
as read at the end of the cell that defines it. What is bound in one branch counts as bound.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass
class Names:
    """``reads``: what a cell needs from others. ``binds``: each name and what binds it.

    The binder of an import is its text, so that the same import twice is one binding.
    """

    reads: set[str] = field(default_factory=set)
    binds: dict[str, str] = field(default_factory=dict)
    later: set[str] = field(default_factory=set)  # what its functions read

    def read(self, name: str) -> None:
        if name not in self.binds:
            self.reads.add(name)

    def visit(self, node: ast.AST) -> None:
        """Follow a node in the order in which Python does."""
        kind = type(node).__name__
        if isinstance(node, _FUNCTIONS):
            self._function(node)
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node)
        elif follow := getattr(self, f"_{kind}", None):
            follow(node)
        else:
            self._children(ast.iter_child_nodes(node))

    def _children(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id)
        else:
            self.binds[node.id] = ""

    def _Assign(self, node: ast.Assign) -> None:
        self._children([node.value, *node.targets])

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        self._children([node.annotation, node.value, node.target])

    def _NamedExpr(self, node: ast.NamedExpr) -> None:
        self._children([node.value, node.target])

    def _AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id)
        self._children([node.value, node.target])

    def _For(self, node: ast.For) -> None:
        self._children([node.iter, node.target, *node.body, *node.orelse])

    def _ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._children([node.type])
        if node.name:
            self.binds[node.name] = ""
        self._children(node.body)

    def _Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            start = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            self.binds[name] = f"{start}import {ast.unparse(alias)}"

    _ImportFrom = _Import

    def _ClassDef(self, node: ast.ClassDef) -> None:
        inner = Names(binds=dict(self.binds))
        inner._children([*node.decorator_list, *node.bases, *node.body])
        self.reads |= inner.reads
        self.later |= inner.later
        self.binds[node.name] = ""

    def _comprehension(self, node: ast.AST) -> None:
        inner = Names(binds=dict(self.binds))
        for generator in node.generators:
            inner._children([generator.iter, generator.target, *generator.ifs])
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        inner._children(made)
        self.reads |= inner.reads
        self.later |= inner.later

    def _function(self, node: ast.FunctionDef | ast.Lambda) -> None:
        given = node.args
        self._children([*given.defaults, *given.kw_defaults, *getattr(node, "decorator_list", [])])
        arguments = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
        body = node.body if isinstance(node.body, list) else [node.body]
        inner = Names(binds={argument.arg: "" for argument in arguments if argument})
        inner._children(body)
        self.later |= inner.reads | (inner.later - set(inner.binds))
        if not isinstance(node, ast.Lambda):
            self.binds[node.name] = ""


def of(source: str) -> Names:
    """Return the names of a cell; its ``reads`` hold those of its functions, too."""
    found = Names()
    found.visit(ast.parse(source))
    found.reads |= found.later - set(found.binds)
    return found


def binders(cells: dict[str, Names]) -> dict[str, dict[str, str]]:
    """Return for each name the cells that bind it, and with what."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for where, names in cells.items():
        for name, with_ in names.binds.items():
            found[name][where] = with_
    return found
