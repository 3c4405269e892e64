"""A GGUF file with its weights unpacked to float32 and all else as it is.

    python benchmarks/unpacked_gguf.py model.gguf unpacked.gguf

llama.cpp multiplies quantized weights by activations that it quantizes too; transformers unpacks the weights first. On
the unpacked file both compute with the same numbers, so what is left of a difference is no quantization's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Float32, in llama.cpp's numbering of file types.
_FLOAT32 = 0


def main(
    source: Annotated[Path, typer.Argument(help="The GGUF file.")],
    target: Annotated[Path, typer.Argument(help="The file to come; four bytes a weight.")],
) -> None:
    """Unpack the weights of a GGUF file."""
    import gguf

    reader = gguf.GGUFReader(str(source))
    writer = gguf.GGUFWriter(str(target), reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=inner)
    writer.add_file_type(_FLOAT32)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"wrote {target}")


if __name__ == "__main__":
    typer.run(main)
