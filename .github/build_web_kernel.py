"""Compile the WebAssembly of exported pages: `make web-kernel`. It needs the package ziglang."""

import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

TEMPLATES = Path(__file__).parent.parent / "charlm" / "pages" / "templates"
SOURCE, CODE = TEMPLATES / "integer_kernel.c", TEMPLATES / "integer_kernel_code.js"
OPTIONS = (
    *("-target", "wasm32-freestanding", "-mcpu=generic+simd128", "-O2", "-nostdlib", "-s"),
    *("-Wl,--no-entry", "-Wl,--import-memory", "-Wl,--initial-memory=65536"),
    *("-Wl,-z,stack-size=4096",),
)


def main() -> None:
    """Write the compiled kernel, and the digest of its source, as a script."""
    with TemporaryDirectory() as folder:
        compiled = Path(folder) / "kernel.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *OPTIONS, SOURCE, "-o", compiled]
        subprocess.run(list(map(str, command)), check=True)
        code = b64encode(compiled.read_bytes()).decode()
    digest = sha256(SOURCE.read_bytes()).hexdigest()
    CODE.write_text(
        "// Written by `make web-kernel`: integer_kernel.c, compiled to WebAssembly.\n"
        f"// SHA-256 of the source: {digest}\n"
        f'const KERNEL_CODE = "{code}";\n',
        "utf-8",
    )


if __name__ == "__main__":
    main()
