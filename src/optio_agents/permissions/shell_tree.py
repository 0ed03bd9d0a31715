"""A shell command as the grammar of tree-sitter-bash reads it: every command in it, and what is not understood.

The list of what is understood is short. All else is named, and looked into for commands all the same, because one that
is denied is denied wherever it stands. Node types are those of tree-sitter-bash 0.25, `src/node-types.json`.
"""

import re
from functools import cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from .shell_variables import NO_VARIABLES, Variables
from .shell_words import Command, Redirect, Script, Unclear, Word

DEEPEST = 100
"""Nested constructs that are looked into."""

_LISTS = frozenset({"program", "list", "pipeline", "subshell", "redirected_statement"})
_BETWEEN = frozenset({"&&", "||", "|", "|&", ";", "&", "(", ")", "\n"})
_LITERALS = frozenset({"word", "number", "raw_string", "string", "concatenation"})
_VARIABLES = frozenset({"simple_expansion", "expansion"})

# Behind a backslash anything is itself. What is left of these may be expanded: globs, braces, the home directory.
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_EXPANDED = re.compile(r"[*?\[\]{}$`!^#]|^[~=]|[:=]~")
_ESCAPED_IN_QUOTES = re.compile(r'\\([$`"\\])')

_IN_WORDS = {
    "ERROR": "it is no command that can be read",
    "ansi_c_string": "$'...' may hold any character",
    "arithmetic_expansion": "a calculation",
    "brace_expression": "braces are expanded",
    "command_substitution": "a command within a command gives a part of it",
    "compound_statement": "commands in braces",
    "declaration_command": "it changes the shell",
    "expansion": "what a variable holds is not known",
    "function_definition": "it defines a function",
    "heredoc_redirect": "a document within the command",
    "herestring_redirect": "a text for its input",
    "negated_command": "a command whose status is turned round",
    "process_substitution": "a command takes the place of a file",
    "simple_expansion": "what a variable holds is not known",
    "test_command": "a test may run commands",
    "unset_command": "it changes the shell",
    "variable_assignment": "it sets a variable",
    "variable_assignments": "it sets variables",
}


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))


def read_tree(text: str, variables: Variables = NO_VARIABLES) -> Script:
    """The commands in a script, in the order they are written. Whatever the text is, this raises nothing."""
    # The scanner of tree-sitter-bash 0.25 looks characters up in tables for bytes, and a brace before one beyond them
    # ends the process. So it gets a letter for each that is not ASCII; its positions are then those in the text, too.
    ascii_only = "".join(each if each.isascii() else "x" for each in text)
    walk = _Walk(text, variables)
    walk.statement(_parser().parse(ascii_only.encode()).root_node, 0)
    return walk.script()


class _Command:
    def __init__(self) -> None:
        self.words: list[Word] = []
        self.redirects: list[Redirect] = []


class _Walk:
    def __init__(self, text: str, variables: Variables) -> None:
        self._text = text
        self._variables = variables
        self._commands: list[_Command] = []
        self._unclear: dict[Unclear, None] = {}

    def script(self) -> Script:
        commands = [Command(tuple(each.words), tuple(each.redirects)) for each in self._commands]
        return Script(tuple(each for each in commands if each.words or each.redirects), tuple(self._unclear))

    def statement(self, node: Node, depth: int) -> None:
        if node.is_missing or depth > DEEPEST:
            self._note(node, "something is missing" if node.is_missing else "it is nested too deeply")
        elif node.type in _LISTS:
            for child in node.children:
                if child.is_named:
                    self.statement(child, depth + 1)
                elif child.type not in _BETWEEN or child.is_missing:
                    self._note(child, f"{child.type} is not understood")
        elif node.type == "command":
            self._command(node, depth)
        elif node.type == "file_redirect":
            self._redirect(node, self._commands[-1] if self._commands else self._new(), depth)
        elif node.type != "comment":
            self._look_into(node, depth)

    def _new(self) -> _Command:
        command = _Command()
        self._commands.append(command)
        return command

    def _command(self, node: Node, depth: int) -> None:
        command = self._new()
        for child in node.children:
            if child.type == "file_redirect":
                self._redirect(child, command, depth)
            elif child.type == "command_name":
                command.words.extend(self._word(each, depth + 1) for each in child.children)
            elif child.type in ("variable_assignment", "herestring_redirect") or child.is_error:
                self._look_into(child, depth)
            else:
                command.words.append(self._word(child, depth + 1))

    def _redirect(self, node: Node, command: _Command, depth: int) -> None:
        operator, targets = "", []
        for child in node.children:
            if not child.is_named:
                operator = child.type
            elif child.type != "file_descriptor":
                targets.append(self._word(child, depth + 1))
        if operator in (">&", "<&", ">&-", "<&-") and targets[:1] != [] and targets[0].text in (*"0123456789", "-"):
            targets = targets[1:]
        elif operator in (">", ">>", ">|", "&>", "&>>", "<", ">&", "<&", "<>") and targets:
            command.redirects.append(Redirect(operator not in ("<", "<&"), targets[0], operator in (">>", "&>>")))
            targets = targets[1:]
        elif operator not in (">&-", "<&-"):
            self._note(node, f"the redirection {operator} is not understood")
        command.words.extend(targets)  # the grammar counts the words behind a redirection to it

    def _word(self, node: Node, depth: int) -> Word:
        raw = self._written(node)
        value = self._value(node, quoted=False)
        if value is not None:
            return Word(value)
        if node.type not in _LITERALS or depth > DEEPEST or node.is_missing:
            self._look_into(node, depth)
            return Word(raw, known=False)
        if node.type == "concatenation":
            parts = [self._word(each, depth + 1) for each in node.children]
            known = all(each.known for each in parts)
            return Word("".join(each.text for each in parts) if known else raw, known)
        if node.type == "raw_string":
            return Word(raw[1:-1])
        if node.type == "string":
            return self._string(node, depth)
        if node.child_count or _EXPANDED.search(_ESCAPED.sub("", raw)):
            for each in node.children:
                self._look_into(each, depth)
            self._note(node, "it is expanded")
            return Word(raw, known=False)
        return Word(_ESCAPED.sub(r"\1", raw))

    def _string(self, node: Node, depth: int) -> Word:
        pieces, known, at = [], True, node.start_byte + 1
        for each in node.children:
            if each.type in ('"', "$", "string_content"):
                continue
            value = self._value(each, quoted=True)
            if value is None:
                self._look_into(each, depth)
                known = False
            else:
                pieces += [_ESCAPED_IN_QUOTES.sub(r"\1", self._text[at : self._start(each)]), value]
                at = each.end_byte
        pieces.append(_ESCAPED_IN_QUOTES.sub(r"\1", self._text[at : node.end_byte - 1]))
        return Word("".join(pieces)) if known else Word(self._written(node), known=False)

    def _value(self, node: Node, quoted: bool) -> str | None:
        """What a variable stands for; None: it is none, or nobody can say."""
        if node.type not in _VARIABLES:
            return None
        found = self._variables.at(self._text, self._start(node), quoted)
        return found[0] if found and found[1] == node.end_byte else None

    def _start(self, node: Node) -> int:
        """Where a variable begins: between quotes the grammar counts the blanks before it to it."""
        return node.end_byte - len(self._written(node).lstrip(" \t\n"))

    def _look_into(self, node: Node, depth: int) -> None:
        if node.type not in ("word", "variable_name", "string_content", "heredoc_body", "heredoc_start"):
            self._note(node, _IN_WORDS.get(node.type, f"{node.type} is not understood"))
        if depth > DEEPEST:
            self._note(node, "it is nested too deeply")
            return
        for child in node.named_children:
            if child.type in _LITERALS:
                self._word(child, depth + 1)
            elif child.type in _LISTS or child.type in ("command", "file_redirect"):
                self.statement(child, depth + 1)
            else:
                self._look_into(child, depth + 1)

    def _note(self, node: Node, why: str) -> None:
        self._unclear[Unclear(self._written(node), why)] = None

    def _written(self, node: Node) -> str:
        return self._text[node.start_byte : node.end_byte]
