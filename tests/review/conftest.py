"""The reviewer's tests live in the end-to-end tests' world."""

from tests.e2e.conftest import api, processes, serve, world, zygote

__all__ = ["api", "processes", "serve", "world", "zygote"]
