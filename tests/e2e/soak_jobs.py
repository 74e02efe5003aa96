"""The jobs of a soak: the sample recipe of every method (tests/data/recipes) over models of one set, from
disk to disk and from bucket to bucket, each with what its undisturbed merge gave."""

import hashlib
import os
import re
import shutil

import harness

RECIPES = os.path.join(harness.SOURCE, "tests", "data", "recipes")
# What the models of the sample recipes stand for in another set, base first.
SAMPLES = [os.path.basename(path) for path in [harness.SAMPLE_BASE, *harness.SAMPLE]]
WEIGHTS = (".safetensors", ".safetensors.index.json")


class Kind:
    """A method from one place to the same place. `digests`: {name: sha256} of the weights and the
    index of its undisturbed merge; `names`: of all files."""

    def __init__(self, name, place, recipe, digests, names):
        self.name, self.place, self.recipe = name, place, recipe
        self.digests, self.names = digests, names
        self.label = "%s, %s" % (name, place.name)


class Disk:
    name = "disk"

    def __init__(self, folder):
        self._folder = os.path.join(folder, "out")
        os.makedirs(self._folder)

    def model(self, path):
        return path

    def output(self, number):
        return os.path.join(self._folder, str(number))

    def read(self, output):
        """{name: bytes' sha256} of weights and index, and the names of all that is there."""
        return harness.hash_output(output), set(harness.leftovers(output))

    def remove(self, output):
        shutil.rmtree(output, ignore_errors=True)

    def strays(self):
        """What is there that no output accounts for; outputs are removed before."""
        return harness.leftovers(self._folder)


class Bucket:
    name = "bucket"

    def __init__(self, client, bucket, models):
        self._client, self._bucket = client, bucket
        client.create_bucket(bucket)
        for path in models:
            client.put_folder(bucket, "in/" + os.path.basename(path), path)

    def model(self, path):
        return "s3://%s/in/%s" % (self._bucket, os.path.basename(path))

    def output(self, number):
        return "s3://%s/out/%d" % (self._bucket, number)

    def _prefix(self, output):
        return output[len("s3://%s/" % self._bucket):] + "/"

    def read(self, output):
        digests, names = {}, set()
        prefix = self._prefix(output)
        for key in self._client.keys(self._bucket, prefix):
            name = key[len(prefix):]
            names.add(name)
            if name.endswith(WEIGHTS):
                digests[name] = hashlib.sha256(self._client.get(self._bucket, key)).hexdigest()
        return digests, names

    def remove(self, output):
        for key in self._client.keys(self._bucket, self._prefix(output)):
            self._client.delete(self._bucket, key)

    def strays(self):
        return ([key for key in self._client.keys(self._bucket, "out/")] +
                ["upload of " + key for key in self._client.uploads(self._bucket)])


def recipe(name, models, file):
    """tests/data/recipes/NAME.yaml with these models in place of the samples, in pieces of which
    several workers get some."""
    with open(os.path.join(RECIPES, name + ".yaml"), encoding="utf-8") as f:
        text = f.read()
    for sample, model in zip(SAMPLES, models):
        text = re.sub(r"\.\./experts/%s\b" % sample, lambda _, m=model: m, text)
    with open(file, "w", encoding="utf-8") as f:
        f.write(text + "max_shard_size: 8MB\nunit_size: 1MB\n")
    return file


def kinds(folder, models, places, names=None):
    """A kind for each sample recipe (or each of `names`) and place. Merges each once, undisturbed."""
    names = names or sorted(f[:-len(".yaml")] for f in os.listdir(RECIPES) if f.endswith(".yaml"))
    found = []
    for name in names:
        local = recipe(name, models, os.path.join(folder, name + ".yaml"))
        output = os.path.join(folder, "calm")
        result = harness.run("merge", local, output, "--threads", "2")
        if result.code != 0:
            raise AssertionError(str(result))
        digests, files = harness.hash_output(output), set(harness.leftovers(output))
        shutil.rmtree(output)
        for place in places:
            file = recipe(name, [place.model(m) for m in models],
                          os.path.join(folder, "%s-%s.yaml" % (name, place.name)))
            found.append(Kind(name, place, file, digests, files))
    return found
