"""A case with a base, and adapters beside it."""

import harness
import lora_models


class LoraCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.base = lora_models.base_tensors()
        lora_models.save(self.path("base"), self.base)

    def write(self, name, adapter):
        adapter.save(self.path(name))
        return adapter
