"""What a library of the kernels computes, compared with numpy, which alone this module needs.

    python library_laws.py LIBRARY

So it also runs where there is no torch, such as in an emulator of another processor.
"""

import ctypes
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
int64, pointer, double = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
DISCOUNTS = np.array([0.9, 1.2, 1.4])
"""Discounts of a count of 1, of 2, and of more."""


def structure(header: str, name: str) -> Any:
    """Return a structure of the kernels with the fields that their source declares."""
    source = Path(__file__).parents[2].joinpath("charlm", "kernels", header).read_text("utf-8")
    body = re.sub(r"//.*", "", source).partition(f"struct {name} {{")[2].partition("};")[0]
    types = {"int64_t": int64, "double": double, "Sampling": Sampling}
    fields = []
    for declaration in body.split(";")[:-1]:
        kind, names = declaration.split(maxsplit=1)
        for field in names.split(","):
            word = field.replace("*", " ").split()[-1]
            fields.append((word, pointer if "*" in declaration else types[kind]))
    return type(name, (ctypes.Structure,), {"_fields_": fields})


Sampling: Any = None
Sampling = structure("sampling.hpp", "Sampling")
Call = structure("recurrence.hpp", "Call")
Network = structure("generation.hpp", "Network")
Generator = structure("generation.hpp", "Generator")
Mixture = structure("mixture.hpp", "Mixture")


def filled(kind: Any, **fields: Any) -> Any:
    """Return a structure with numbers, and the addresses of arrays and other structures."""

    def converted(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.ctypes.data
        is_inner = isinstance(value, ctypes.Structure) and not isinstance(value, Sampling)
        return ctypes.addressof(value) if is_inner else value

    return kind(**{name: converted(value) for name, value in fields.items()})


def lstm(gates: Array, C: Array) -> tuple[Array, Array]:
    """Return H and C after a step, from the sums of the gates and the C before it."""
    candidate = np.tanh(np.split(gates, 4, axis=1)[2])
    input_gate, forget_gate, _, output_gate = np.split(1 / (1 + np.exp(-gates)), 4, axis=1)
    C = forget_gate * C + input_gate * candidate
    return output_gate * np.tanh(C), C


def rounded(x: Array, bfloat16: bool) -> Array:
    """Return float32 numbers, as near as bfloat16 has them if so wanted."""
    bits = x.astype(np.float32).view(np.uint32)
    if bfloat16:
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


class Laws:
    """One library, and random numbers to try it on."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library, self.lanes = library, int(library.charlm_lanes())
        self.random = np.random.default_rng(0)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function with sizes, flags, structures and the addresses of arrays."""

        def converted(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                return pointer(value.ctypes.data)
            if isinstance(value, ctypes.Structure):
                return ctypes.byref(value)
            if isinstance(value, bool):
                return ctypes.c_int(value)
            return int64(value) if isinstance(value, int) else value

        self.library[f"charlm_{name}"](*map(converted, arguments))

    def normal(self, *shape: int) -> Array:
        return self.random.standard_normal(shape).astype(np.float32)

    def operands(self, values: Array, bfloat16: bool) -> Array:
        """Return numbers as the kernels read them in a precision."""
        bits = rounded(values, bfloat16).view(np.uint32)
        return (bits >> 16).astype(np.uint16) if bfloat16 else bits.view(np.float32)

    def packed(self, matrix: Array, num_gates: int = 1, bfloat16: bool = False) -> Array:
        """Return a packed matrix: in its order, or all gates of a unit side by side."""
        size, columns = matrix.shape
        width = self.lanes
        if num_gates == 1:
            layout = -(-columns // (4 * width)), 4, 4 * width, width
        else:
            layout = columns // num_gates // width, num_gates, width, columns // num_gates
        to = np.zeros(layout[0] * layout[1] * size * width, np.uint16 if bfloat16 else np.float32)
        matrix = np.ascontiguousarray(matrix)
        self.call("pack", matrix, columns, 1, size, columns, *layout, bfloat16, to, 2)
        return to

    def products(self, bfloat16: bool, threads: int) -> None:
        """Products, also transposed, and sums of rows equal numpy's."""
        for rows, size, columns in ((1, 2, 1), (37, 30, 3 * self.lanes), (70, 64, 77)):
            A, B = (rounded(self.normal(*s), bfloat16) for s in ((rows, size), (size, columns)))
            a, to = self.operands(A, bfloat16), np.empty((rows, columns), np.float32)
            packed = self.packed(B, bfloat16=bfloat16)
            self.call("product", a, rows, size, packed, columns, to, bfloat16, threads)
            np.testing.assert_allclose(to, A.astype(float) @ B, rtol=1e-4, atol=1e-4)
            C = rounded(self.normal(rows, columns), bfloat16)
            c, to = self.operands(C, bfloat16), np.empty((size, columns), np.float32)
            shape = (a, size, c, columns, rows, size, columns)
            self.call("transposed_product", *shape, to, bfloat16, threads)
            np.testing.assert_allclose(to, A.T.astype(float) @ C, rtol=1e-4, atol=1e-4)
        C = rounded(self.normal(50, 3 * self.lanes), bfloat16)
        lookup, sums = self.random.integers(0, 4, 50), np.zeros((4, C.shape[1]), np.float32)
        c = self.operands(C, bfloat16)
        self.call("sum_rows", c, lookup, *C.shape, sums, bfloat16, threads)
        np.testing.assert_allclose(sums, np.eye(4)[lookup].T @ C, rtol=1e-4, atol=1e-4)

    def cross_entropy(self, threads: int) -> None:
        """The loss and its gradient by the logits equal numpy's."""
        rows, size, columns = 45, 24, 2 * self.lanes
        H, W, b = self.normal(rows, size), self.normal(size, columns), self.normal(columns)
        targets = self.random.integers(0, columns, rows)
        nats, gradients = np.empty(rows, np.float32), np.empty((rows, columns), np.float32)
        self.call(
            *("cross_entropy", H, rows, size, self.packed(W), b, columns, targets),
            *(None, nats, gradients, False, threads),
        )
        logits = H.astype(float) @ W + b
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(nats, -np.log(p[range(rows), targets]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradients, p - np.eye(columns)[targets], atol=1e-5)

    def recurrence(self, bfloat16: bool, threads: int) -> None:
        """An LSTM's states equal its equations', and its gradient their finite differences."""
        T, B, H, V = 5, 11, 3 * self.lanes, 6
        W, rows = self.normal(H, 4 * H) / H**0.5, self.normal(V, 4 * H)
        ids, first = self.random.integers(0, V, (T, B)), self.normal(B, H) / 2
        C0, weighting = self.normal(B, H) / 2, self.normal(T, B, H)
        element = np.uint16 if bfloat16 else np.float32
        operands = np.zeros((T + 1, B, H), element)
        operands[0] = self.operands(first, bfloat16)
        outputs, memory = np.empty((T, B, H), np.float32), np.empty((T + 1, B, H), np.float32)
        memory[0] = C0
        saved, d_recurrent = np.empty((T, B, 4 * H), np.float32), np.empty((T, B, 4 * H), element)
        d_hidden, d_memory = np.zeros((2, B, H), np.float32)

        def call(weights: Array, backward: bool) -> None:
            arrays: dict[str, Array] = {
                **{"lookup": ids, "rows": rows, "weights": weights, "operands": operands},
                **{"outputs": outputs, "first_hidden": first, "memory": memory, "saved": saved},
                **{"d_outputs": weighting, "d_hidden": d_hidden, "d_memory": d_memory},
                "d_recurrent": d_recurrent,
            }
            sizes = {"steps": T, "batch": B, "hidden": H, "threads": threads}
            self.call("lstm", filled(Call, **sizes, **arrays), bfloat16, backward)

        def equations(first: Array, C: Array) -> Array:
            h, states = first, []
            for t in range(T):
                operand = rounded(h, True) if bfloat16 else h
                h, C = lstm(operand.astype(float) @ W + rows[ids[t]], C)
                states.append(h)
            return np.stack(states)

        call(self.packed(W, 4, bfloat16), False)
        bound = 0.02 if bfloat16 else 1e-4
        np.testing.assert_allclose(outputs, equations(first, C0), atol=bound)
        if bfloat16:
            return
        call(self.packed(W.T), True)
        step = 1e-4 * self.normal(2, B, H).astype(float)
        after, before = (equations(first + s * step[0], C0 + s * step[1]) for s in (1, -1))
        expected = ((after - before) * weighting).sum() / 2
        found = (step * np.stack([d_hidden, d_memory])).sum()
        np.testing.assert_allclose(found, expected, rtol=1e-3)

    def generation(self, threads: int) -> None:
        """An LSTM generates the characters that its equations find the likeliest."""
        H, V, S, steps = 2 * self.lanes, 13, 3, 40
        W, rows, W_hq = self.normal(H, 4 * H), self.normal(V, 4 * H), self.normal(H, V)
        b_q, logits = self.normal(V), self.normal(S, V)
        h, C = np.zeros((2, S, H))
        expected, scores = [], logits.astype(float)
        for _ in range(steps):
            expected.append(scores.argmax(1))
            h, C = lstm(h @ W + rows[expected[-1]], C)
            scores = h @ W_hq + b_q
        ids, drawn = np.zeros(S, np.int64), np.empty((steps, S), np.int64)
        zeros = np.zeros((6, S, H), np.float32)
        packed, output_weights = self.packed(W, 4), self.packed(W_hq)
        layer = filled(
            Call,
            **{"steps": 1, "batch": S, "hidden": H, "threads": 1, "lookup": ids, "rows": rows},
            **{"weights": packed, "operands": zeros[:2], "outputs": zeros[2]},
            **{"first_hidden": zeros[3], "memory": zeros[4:6]},
        )
        network = filled(
            Network,
            **{"num_layers": 1, "boundary": -1, "layers": layer, "W_hq": output_weights},
            **{"b_q": b_q, "logits": logits},
        )
        generator = filled(
            Generator,
            **{"num_networks": 1, "samples": S, "vocabulary": V, "threads": threads},
            **{"networks": network, "ids": ids, "logits": logits},
            sampling=Sampling(top_p=1.0, forbidden=-1),
        )
        self.call("generate", generator, steps, self.random.random((steps, S)), drawn)
        np.testing.assert_array_equal(drawn, expected)

    def ngrams(self) -> None:
        """Counts predict as the definition says: discounted, longer contexts before shorter."""
        order, V, steps = 2, 6, 500
        ids = self.random.integers(0, V - 1, order + steps) ** 2 % V
        ids[:order] = -1
        self.library.charlm_ngrams.restype = pointer
        made = self.library.charlm_ngrams(int64(order), int64(V), int64(-2), pointer(None), 0, 0, 0)
        counts = pointer(made)
        mixed, none = np.empty((steps, V), np.float32), np.empty(0, np.float32)
        weights = np.ones((order + 1, order + 1))
        followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        text = filled(
            Mixture, ids=ids, steps=steps, members=none, weights=weights, counts=1, mixed=mixed
        )
        self.call("mix", counts, text)
        for place in range(steps):
            history, symbol = ids[place : place + order].tolist(), int(ids[place + order])
            contexts = [tuple(history[order - length :]) for length in range(order + 1)]
            contexts = [context for context in contexts if -1 not in context]
            expected = np.full(V, 1 / V)
            for context in contexts:
                if not (found := followers[context]):
                    continue
                if not context and len(found) < V:  # the discounts go to the others
                    expected = np.array([s not in found for s in range(V)]) / (V - len(found))
                n = np.array([found[s] for s in range(V)])
                discounts = np.where(n, DISCOUNTS[np.clip(n, 1, 3) - 1], 0)
                expected = (n - discounts + discounts.sum() * expected) / n.sum()
            np.testing.assert_allclose(np.exp(mixed[place]), expected, rtol=1e-4)
            for context in reversed(contexts):
                followers[context][symbol] += 1
                if followers[context][symbol] > 1:
                    break
        self.call("forget_ngrams", counts)


def check(library: ctypes.CDLL) -> None:
    """Raise `AssertionError` unless a library computes what it should."""
    laws = Laws(library)
    for threads in (1, 3):
        for bfloat16 in (False, True):
            laws.products(bfloat16, threads)
            laws.recurrence(bfloat16, threads)
        laws.cross_entropy(threads)
        laws.generation(threads)
    laws.ngrams()


if __name__ == "__main__":
    check(ctypes.CDLL(sys.argv[1]))
    print("products, loss, recurrence, generation and n-grams equal numpy's")
