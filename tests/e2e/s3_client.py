"""A client for S3 of the standard library alone: what tests put, read and list is not judged by the
program's own."""

import datetime
import hashlib
import hmac
import http.client
import os
import re
import urllib.parse

EMPTY = hashlib.sha256(b"").hexdigest()


class Error(Exception):
    def __init__(self, code, body):
        super().__init__("%d %s" % (code, body[:300]))
        self.code = code


class Client:
    def __init__(self, endpoint, access_key, secret_key, region="us-east-1"):
        self.host = urllib.parse.urlsplit(endpoint).netloc
        self.access_key, self.secret_key, self.region = access_key, secret_key, region

    def request(self, method, path, query=None, body=b""):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        quoted = urllib.parse.quote(path, safe="/~")
        pairs = sorted((urllib.parse.quote(k, safe="~"), urllib.parse.quote(v, safe="~"))
                       for k, v in (query or {}).items())
        line = "&".join("%s=%s" % pair for pair in pairs)
        digest = hashlib.sha256(body).hexdigest() if body else EMPTY
        headers = {"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, quoted, line,
                               "".join("%s:%s\n" % (k, headers[k]) for k in sorted(headers)),
                               names, digest])
        scope = "%s/%s/s3/aws4_request" % (day, self.region)
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret_key).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        headers["Authorization"] = (
            "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
            % (self.access_key, scope, names, signature))
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, quoted + ("?" + line if line else ""), body=body or None,
                               headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise Error(answer.status, content.decode("utf-8", "replace"))
        return content

    def create_bucket(self, bucket):
        self.request("PUT", "/" + bucket)

    def put(self, bucket, key, body):
        self.request("PUT", "/%s/%s" % (bucket, key), body=body)

    def put_folder(self, bucket, prefix, folder):
        for root, _, files in os.walk(folder, followlinks=True):
            for name in files:
                path = os.path.join(root, name)
                with open(path, "rb") as f:
                    self.put(bucket, "%s/%s" % (prefix, os.path.relpath(path, folder)), f.read())

    def get(self, bucket, key):
        return self.request("GET", "/%s/%s" % (bucket, key))

    def delete(self, bucket, key):
        self.request("DELETE", "/%s/%s" % (bucket, key))

    def keys(self, bucket, prefix=""):
        found, token = [], None
        while True:
            query = {"list-type": "2", "prefix": prefix}
            if token:
                query["continuation-token"] = token
            page = self.request("GET", "/" + bucket, query).decode()
            found += re.findall(r"<Key>([^<]*)</Key>", page)
            token = re.search(r"<NextContinuationToken>([^<]*)</", page)
            if token is None:
                return found
            token = token.group(1)

    def open_uploads(self, bucket):
        """Key and id of the uploads that are neither complete nor aborted."""
        page = self.request("GET", "/" + bucket, {"uploads": ""}).decode()
        return list(zip(re.findall(r"<Key>([^<]*)</Key>", page),
                        re.findall(r"<UploadId>([^<]*)</UploadId>", page)))

    def uploads(self, bucket):
        """The keys of those."""
        return [key for key, _ in self.open_uploads(bucket)]

    def parts(self, bucket, key, number_of=re.compile(r"<ETag>&quot;[0-9a-f]+-(\d+)&quot;</ETag>")):
        """In how many parts the object was uploaded."""
        page = self.request("GET", "/" + bucket, {"list-type": "2", "prefix": key}).decode()
        found = number_of.search(page)
        return int(found.group(1)) if found else 1
