"""Every attribution method that comes with the package: importing this registers those of every file in the folder."""

from importlib import import_module
from pkgutil import iter_modules

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")
