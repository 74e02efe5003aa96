"""A list that shapes of recipes are written down in (public_recipes.py)."""


class Shapes(list):
    def add(self, name, expect, recipe, *texts):
        self.append((name, expect, texts, recipe))
