# SPDX-License-Identifier: Apache-2.0
# Written by tools/make_abi.py from the headers of librafs; do not edit.
"""The binary interface of librafs: constants, structures, functions."""
# mypy: disable-error-code="assignment"
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

RAFS_BACKEND_RELAYED = 2
RAFS_BACKEND_REMOTE = 1
RAFS_BLOBS_MAX = 65536
RAFS_BLOB_ALIGNED = 1
RAFS_BLOB_BATCH = 128
RAFS_BLOB_CAP_TAR_TOC = 1073741824
RAFS_BLOB_CHUNKDICT = 512
RAFS_BLOB_CHUNK_INFO_V2 = 4
RAFS_BLOB_ENCRYPTED = 256
RAFS_BLOB_EXTERNAL = 2048
RAFS_BLOB_HAS_TAR_HEADER = 268435456
RAFS_BLOB_HAS_TOC = 536870912
RAFS_BLOB_ID_MAX = 64
RAFS_BLOB_INLINED_CHUNK_DIGEST = 32
RAFS_BLOB_INLINED_FS_META = 2
RAFS_BLOB_PREFETCH = 1024
RAFS_BLOB_SEPARATE = 16
RAFS_BLOB_TARFS = 64
RAFS_BLOB_ZRAN = 8
RAFS_BUCKET_PATH_STYLE = 1
RAFS_BUCKET_VIRTUAL_HOST = 2
RAFS_BUILD_ALIGNED = 16
RAFS_BUILD_BLOB_PER_LAYER = 1
RAFS_BUILD_INLINE_BOOTSTRAP = 2
RAFS_BUILD_KEEP_WHITEOUTS = 8
RAFS_BUILD_MTIME_ALL = 1024
RAFS_BUILD_MTIME_MAX = 512
RAFS_BUILD_NO_OWNERS = 32
RAFS_BUILD_NO_XATTRS = 64
RAFS_BUILD_ONE_FILE_SYSTEM = 256
RAFS_BUILD_OWNER = 2048
RAFS_BUILD_SKIP_UNSUPPORTED = 128
RAFS_BUILD_TOC = 4
RAFS_CACHE_BEGIN_NO_WAIT = 1
RAFS_CACHE_ENTRY_DOCUMENT = 1
RAFS_CACHE_ENTRY_IN_USE = 4
RAFS_CACHE_ENTRY_PINNED = 2
RAFS_CACHE_GC_DRY_RUN = 1
RAFS_CACHE_LIST_COUNT = 1
RAFS_CALL_AHEAD = 1
RAFS_CALL_CACHED = 8
RAFS_CALL_FRESH = 4
RAFS_CALL_ONCE = 2
RAFS_CAUSE_AHEAD = 1
RAFS_CAUSE_CHECK = 5
RAFS_CAUSE_DEMAND = 0
RAFS_CAUSE_METADATA = 3
RAFS_CAUSE_OPEN = 4
RAFS_CAUSE_PREFETCH = 2
RAFS_CHECK_METADATA_ONLY = 1
RAFS_CHUNKS_PER_BLOB_MAX = 16777216
RAFS_CHUNK_SIZE_MAX = 16777216
RAFS_CHUNK_SIZE_MIN = 4096
RAFS_COMPRESSOR_GZIP = 2
RAFS_COMPRESSOR_LZ4_BLOCK = 1
RAFS_COMPRESSOR_NONE = 0
RAFS_COMPRESSOR_ZSTD = 3
RAFS_CONVERT_ALL_PLATFORMS = 1
RAFS_CONVERT_DOCKER = 4
RAFS_CONVERT_REFERRER = 2
RAFS_COPY_ALL = 1
RAFS_COPY_REFERRERS = 2
RAFS_CREDENTIALS_HELPERS = 1
RAFS_CREDENTIAL_BASIC = 1
RAFS_CREDENTIAL_BEARER = 3
RAFS_CREDENTIAL_IDENTITY_TOKEN = 2
RAFS_CREDENTIAL_NONE = 0
RAFS_DEDUP_CHUNK = 3
RAFS_DEDUP_DEFAULT = 0
RAFS_DEDUP_FILE = 2
RAFS_DEDUP_NONE = 1
RAFS_DEPTH_MAX = 4096
RAFS_DIGEST_BLAKE3 = 0
RAFS_DIGEST_BYTES = 32
RAFS_DIGEST_SHA256 = 1
RAFS_DIR_ATTR = 1
RAFS_EROFS_OWN = 1
RAFS_EROFS_SAME_PLACES = 2
RAFS_EROFS_WHOLE = 1
RAFS_EVENT_FAILOVER = 6
RAFS_EVENT_HEDGE = 5
RAFS_EVENT_RECEIVED = 1
RAFS_EVENT_REDIRECT = 3
RAFS_EVENT_RENEWAL = 4
RAFS_EVENT_RETRY = 2
RAFS_EVENT_SENT = 0
RAFS_EXTENT_BATCH = 4
RAFS_EXTENT_COMPRESSED = 2
RAFS_EXTENT_HOLE = 1
RAFS_E_AGAIN = -16
RAFS_E_BACKEND = -5
RAFS_E_BADARG = -1
RAFS_E_BUG = -15
RAFS_E_CANCELLED = -7
RAFS_E_CORRUPT = -3
RAFS_E_ISDIR = -10
RAFS_E_LIMIT = -14
RAFS_E_LOOP = -11
RAFS_E_NOATTR = -12
RAFS_E_NOENT = -8
RAFS_E_NOMEM = -2
RAFS_E_NOTDIR = -9
RAFS_E_RANGE = -13
RAFS_E_TIMEOUT = -6
RAFS_E_UNSUPPORTED = -4
RAFS_FAILURES_KEPT = 32
RAFS_FILL_BLOCK = 4096
RAFS_FLAG_EXPLICIT_UID_GID = 16
RAFS_FLAG_HAS_XATTR = 32
RAFS_FLAG_INLINED_CHUNK_DIGEST = 256
RAFS_FLAG_TARFS = 512
RAFS_HASH_BLAKE3 = 1
RAFS_HASH_DEFAULT = 0
RAFS_HASH_SHA256 = 2
RAFS_HISTOGRAM_BUCKETS = 19
RAFS_HTTP_INSECURE = 1
RAFS_KEY_ID_MAX = 256
RAFS_KEY_SECRET_MAX = 256
RAFS_LAYOUT_REFERRERS = 1
RAFS_LINKS_MAX = 40
RAFS_LOG_DEBUG = 4
RAFS_LOG_ERROR = 1
RAFS_LOG_INFO = 3
RAFS_LOG_WARNING = 2
RAFS_METRIC_CACHE_REFUSED = 23
RAFS_METRIC_CACHE_WRITE_ERRORS = 21
RAFS_METRIC_CHUNKS = 4
RAFS_METRIC_CHUNK_WAIT = 5
RAFS_METRIC_FAILOVERS = 20
RAFS_METRIC_FETCHED_BYTES = 9
RAFS_METRIC_HEDGES = 19
RAFS_METRIC_KIND_COUNTER = 1
RAFS_METRIC_KIND_GAUGE = 2
RAFS_METRIC_KIND_HISTOGRAM = 3
RAFS_METRIC_MEMORY_BYTES = 22
RAFS_METRIC_OLDEST_REQUEST = 12
RAFS_METRIC_OLDEST_WAIT = 7
RAFS_METRIC_READS = 1
RAFS_METRIC_READ_BYTES = 2
RAFS_METRIC_READ_ERRORS = 3
RAFS_METRIC_RECEIVED_BYTES = 15
RAFS_METRIC_REDIRECTS = 17
RAFS_METRIC_RENEWALS = 18
RAFS_METRIC_REQUESTS = 8
RAFS_METRIC_REQUESTS_ACTIVE = 11
RAFS_METRIC_REQUEST_TIME = 10
RAFS_METRIC_RETRIES = 16
RAFS_METRIC_SENT_REQUESTS = 14
RAFS_METRIC_SOURCE_ERRORS = 13
RAFS_METRIC_WAITING = 6
RAFS_MIRRORS_MAX = 15
RAFS_MIRROR_OVERRIDE_PATH = 4
RAFS_MIRROR_PULL = 1
RAFS_MIRROR_RESOLVE = 2
RAFS_MIRROR_SERVER = 8
RAFS_NAME_MAX = 255
RAFS_OBJECT_BLOB = 1
RAFS_OBJECT_BOOTSTRAP = 2
RAFS_OK = 0
RAFS_OPEN_TRACE = 1
RAFS_P2P_STRICT = 1
RAFS_P2P_USE_HTTP = 2
RAFS_PATH_MAX = 65535
RAFS_PREFETCH_ALL = 0
RAFS_PREFETCH_LIST = 2
RAFS_PREFETCH_TABLE = 1
RAFS_PREFETCH_TRACE = 3
RAFS_PUSH_ARTIFACT = 2
RAFS_PUSH_DOCKER = 1
RAFS_READ_MAX = 2147479552
RAFS_REGISTRY_CONFIG = 4
RAFS_REGISTRY_PLAIN_HTTP = 1
RAFS_REGISTRY_REFERRERS = 2
RAFS_RESOLVE_NOFOLLOW = 1
RAFS_SAMPLE_BUCKET = 1
RAFS_SAMPLE_COUNT = 2
RAFS_SAMPLE_SUM = 3
RAFS_SAMPLE_VALUE = 0
RAFS_SECRET_MAX = 16384
RAFS_SESSION_TOKEN_MAX = 8192
RAFS_SINK_NO_SYNC = 2
RAFS_SINK_REPLACE = 1
RAFS_SOURCES_MAX = 16
RAFS_STAGE_ARGUMENT = 1
RAFS_STAGE_CHECK = 8
RAFS_STAGE_DECODE = 6
RAFS_STAGE_FETCH = 5
RAFS_STAGE_LOOKUP = 4
RAFS_STAGE_METADATA = 3
RAFS_STAGE_NONE = 0
RAFS_STAGE_OPEN = 2
RAFS_STAGE_VERIFY = 7
RAFS_STORE_DEFAULT = 0
RAFS_STORE_LZ4 = 2
RAFS_STORE_NONE = 1
RAFS_STORE_ZSTD = 3
RAFS_TARGET_MAX = 65535
RAFS_TARGET_REPLACE = 1
RAFS_USERNAME_MAX = 256
RAFS_VERSION_MAJOR = 1
RAFS_VERSION_MINOR = 0
RAFS_VERSION_NUMBER = 65536
RAFS_VERSION_PATCH = 0
RAFS_VERSION_STRING = '1.0.0'
RAFS_XATTR_NAME_MAX = 255
RAFS_XATTR_VALUE_MAX = 65536


class Error(Structure):
    """`rafs_error`."""


class Env(Structure):
    """`rafs_env`."""


class Call(Structure):
    """`rafs_call`."""


class BackendOps(Structure):
    """`rafs_backend_ops`."""


class P2pOptions(Structure):
    """`rafs_p2p_options`."""


class HttpOptions(Structure):
    """`rafs_http_options`."""


class BucketKey(Structure):
    """`rafs_bucket_key`."""


class BucketKeys(Structure):
    """`rafs_bucket_keys`."""


class BucketOptions(Structure):
    """`rafs_bucket_options`."""


class CacheOptions(Structure):
    """`rafs_cache_options`."""


class CacheEntry(Structure):
    """`rafs_cache_entry`."""


class CacheGcOptions(Structure):
    """`rafs_cache_gc_options`."""


class CacheGcResult(Structure):
    """`rafs_cache_gc_result`."""


class CacheScrubProgress(Structure):
    """`rafs_cache_scrub_progress`."""


class CacheScrubOptions(Structure):
    """`rafs_cache_scrub_options`."""


class CacheScrubResult(Structure):
    """`rafs_cache_scrub_result`."""


class Limits(Structure):
    """`rafs_limits`."""


class OpenOptions(Structure):
    """`rafs_open_options`."""


class ImageInfo(Structure):
    """`rafs_image_info`."""


class BlobInfo(Structure):
    """`rafs_blob_info`."""


class TraceInfo(Structure):
    """`rafs_trace_info`."""


class TraceEvent(Structure):
    """`rafs_trace_event`."""


class SinkObject(Structure):
    """`rafs_sink_object`."""


class SinkOps(Structure):
    """`rafs_sink_ops`."""


class IdMap(Structure):
    """`rafs_id_map`."""


class BuildProgress(Structure):
    """`rafs_build_progress`."""


class BuildOptions(Structure):
    """`rafs_build_options`."""


class BuildLayer(Structure):
    """`rafs_build_layer`."""


class BuildXattr(Structure):
    """`rafs_build_xattr`."""


class BuildEntry(Structure):
    """`rafs_build_entry`."""


class BuildResult(Structure):
    """`rafs_build_result`."""


class BuildBlob(Structure):
    """`rafs_build_blob`."""


class CacheChunk(Structure):
    """`rafs_cache_chunk`."""


class CacheOps(Structure):
    """`rafs_cache_ops`."""


class CheckProgress(Structure):
    """`rafs_check_progress`."""


class CheckOptions(Structure):
    """`rafs_check_options`."""


class CheckResult(Structure):
    """`rafs_check_result`."""


class Credential(Structure):
    """`rafs_credential`."""


class CredentialsSource(Structure):
    """`rafs_credentials_source`."""


class CredentialFiles(Structure):
    """`rafs_credential_files`."""


class RegistryMirror(Structure):
    """`rafs_registry_mirror`."""


class RegistryOptions(Structure):
    """`rafs_registry_options`."""


class OriginOptions(Structure):
    """`rafs_origin_options`."""


class TargetOptions(Structure):
    """`rafs_target_options`."""


class ConvertProgress(Structure):
    """`rafs_convert_progress`."""


class ConvertOptions(Structure):
    """`rafs_convert_options`."""


class ConvertResult(Structure):
    """`rafs_convert_result`."""


class CopyProgress(Structure):
    """`rafs_copy_progress`."""


class CopyOptions(Structure):
    """`rafs_copy_options`."""


class CopyResult(Structure):
    """`rafs_copy_result`."""


class Attr(Structure):
    """`rafs_attr`."""


class Dirent(Structure):
    """`rafs_dirent`."""


class WalkEntry(Structure):
    """`rafs_walk_entry`."""


class ErofsProgress(Structure):
    """`rafs_erofs_progress`."""


class ErofsOptions(Structure):
    """`rafs_erofs_options`."""


class ErofsResult(Structure):
    """`rafs_erofs_result`."""


class FenceInfo(Structure):
    """`rafs_fence_info`."""


class Filled(Structure):
    """`rafs_filled`."""


class LayoutOptions(Structure):
    """`rafs_layout_options`."""


class PrefetchRange(Structure):
    """`rafs_prefetch_range`."""


class PrefetchOptions(Structure):
    """`rafs_prefetch_options`."""


class PrefetchProgress(Structure):
    """`rafs_prefetch_progress`."""


class Missing(Structure):
    """`rafs_missing`."""


class PushOptions(Structure):
    """`rafs_push_options`."""


class Iovec(Structure):
    """`rafs_iovec`."""


class Extent(Structure):
    """`rafs_extent`."""


class Stats(Structure):
    """`rafs_stats`."""


class QueueRead(Structure):
    """`rafs_queue_read`."""


class Completion(Structure):
    """`rafs_completion`."""


class QueueOptions(Structure):
    """`rafs_queue_options`."""


class Metric(Structure):
    """`rafs_metric`."""


class Sample(Structure):
    """`rafs_sample`."""


class Failure(Structure):
    """`rafs_failure`."""


class MetricsImage(Structure):
    """`rafs_metrics_image`."""


rafs_cache_visit = CFUNCTYPE(c_int, c_void_p, POINTER(CacheEntry))
rafs_build_progress_fn = CFUNCTYPE(None, c_void_p, POINTER(BuildProgress))
rafs_stream_fn = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Call), POINTER(Error))
rafs_convert_progress_fn = CFUNCTYPE(None, c_void_p, POINTER(ConvertProgress))
rafs_copy_progress_fn = CFUNCTYPE(None, c_void_p, POINTER(CopyProgress))
rafs_write_fn = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t, POINTER(Call), POINTER(Error))
rafs_erofs_progress_fn = CFUNCTYPE(None, c_void_p, POINTER(ErofsProgress))
rafs_fence_there = CFUNCTYPE(c_int, c_void_p, c_uint32, c_uint64, c_uint64)

Error._fields_ = [
    ("code", c_int32),
    ("os_errno", c_int32),
    ("stage", c_uint32),
    ("has_offset", c_uint32),
    ("offset", c_uint64),
    ("object", c_char * 200),
    ("text", c_char * 288),
]
Env._fields_ = [
    ("struct_size", c_uint32),
    ("log_level", c_uint32),
    ("user", c_void_p),
    ("alloc", CFUNCTYPE(c_void_p, c_void_p, c_size_t)),
    ("free", CFUNCTYPE(None, c_void_p, c_void_p)),
    ("now_ns", CFUNCTYPE(c_uint64, c_void_p)),
    ("log", CFUNCTYPE(None, c_void_p, c_uint32, c_char_p)),
    ("cancel", c_void_p),
]
Call._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("deadline_ns", c_uint64),
    ("cancel", c_void_p),
    ("tally", c_void_p),
]
BackendOps._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("open", CFUNCTYPE(c_int, c_void_p, c_char_p, POINTER(c_void_p), POINTER(Call), POINTER(Error))),
    ("size", CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(c_uint64), POINTER(Call), POINTER(Error))),
    ("read", CFUNCTYPE(c_int, c_void_p, c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Call), POINTER(Error))),
    ("close", CFUNCTYPE(None, c_void_p, c_void_p)),
    ("release", CFUNCTYPE(None, c_void_p)),
    ("name", c_char_p),
]
P2pOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("proxy", c_char_p),
    ("ping", c_char_p),
    ("check_interval_ms", c_uint32),
    ("reserved", c_uint32),
]
HttpOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("env", POINTER(Env)),
    ("ca_file", c_char_p),
    ("ca_dir", c_char_p),
    ("client_cert", c_char_p),
    ("client_key", c_char_p),
    ("http_proxy", c_char_p),
    ("https_proxy", c_char_p),
    ("no_proxy", c_char_p),
    ("user_agent", c_char_p),
    ("headers", POINTER(c_char_p)),
    ("header_count", c_size_t),
    ("connect_timeout_ms", c_uint32),
    ("stall_timeout_ms", c_uint32),
    ("retry_ms", c_uint32),
    ("connections_max", c_uint32),
    ("bytes_per_second", c_uint64),
    ("p2p", POINTER(P2pOptions)),
]
BucketKey._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("id", c_char * 256),
    ("secret", c_char * 256),
    ("session_token", c_char * 8192),
]
BucketKeys._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("get", CFUNCTYPE(c_int, c_void_p, c_char_p, c_uint32, POINTER(BucketKey), POINTER(Call), POINTER(Error))),
    ("user", c_void_p),
    ("release", CFUNCTYPE(None, c_void_p)),
]
BucketOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("bucket", c_char_p),
    ("prefix", c_char_p),
    ("endpoint", c_char_p),
    ("region", c_char_p),
    ("key", POINTER(BucketKey)),
    ("keys", POINTER(BucketKeys)),
]
CacheOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("env", POINTER(Env)),
    ("quota_bytes", c_uint64),
    ("free_floor_bytes", c_uint64),
]
CacheEntry._fields_ = [
    ("name", c_char_p),
    ("disk_bytes", c_uint64),
    ("chunks", c_uint64),
    ("ready_bytes", c_uint64),
    ("last_use_sec", c_uint64),
    ("flags", c_uint32),
    ("reserved", c_uint32),
]
CacheGcOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("quota_bytes", c_uint64),
    ("free_floor_bytes", c_uint64),
    ("user", c_void_p),
    ("visit", rafs_cache_visit),
]
CacheGcResult._fields_ = [
    ("struct_size", c_uint32),
    ("fits", c_uint32),
    ("evicted", c_uint64),
    ("evicted_bytes", c_uint64),
    ("kept", c_uint64),
    ("kept_bytes", c_uint64),
]
CacheScrubProgress._fields_ = [
    ("chunks_done", c_uint64),
    ("bytes_done", c_uint64),
    ("bytes_total", c_uint64),
    ("bad_chunks", c_uint64),
]
CacheScrubOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("bytes_per_second", c_uint64),
    ("user", c_void_p),
    ("finding", CFUNCTYPE(None, c_void_p, POINTER(Error))),
    ("progress", CFUNCTYPE(None, c_void_p, POINTER(CacheScrubProgress))),
]
CacheScrubResult._fields_ = [
    ("struct_size", c_uint32),
    ("complete", c_uint32),
    ("blobs", c_uint64),
    ("chunks", c_uint64),
    ("bytes", c_uint64),
    ("bad_chunks", c_uint64),
    ("documents", c_uint64),
    ("bad_documents", c_uint64),
]
Limits._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("metadata_cache_bytes", c_uint64),
    ("inlined_bootstrap_bytes", c_uint64),
    ("chunk_index_bytes", c_uint64),
    ("blob_meta_bytes", c_uint64),
    ("chunk_cache_bytes", c_uint64),
    ("merge_bytes", c_uint64),
    ("ahead_bytes", c_uint64),
    ("hedge_ms", c_uint64),
]
OpenOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("env", POINTER(Env)),
    ("expect_digest", c_char_p),
    ("backends", POINTER(c_void_p)),
    ("backend_count", c_size_t),
    ("limits", POINTER(Limits)),
    ("name", c_char_p),
    ("cache", c_void_p),
]
ImageInfo._fields_ = [
    ("struct_size", c_uint32),
    ("version", c_uint32),
    ("flags", c_uint64),
    ("bootstrap_bytes", c_uint64),
    ("inodes", c_uint64),
    ("root", c_uint64),
    ("chunk_size", c_uint32),
    ("block_size", c_uint32),
    ("compressor", c_uint32),
    ("digest", c_uint32),
    ("blob_count", c_uint32),
    ("prefetch_count", c_uint32),
    ("inlined", c_uint32),
    ("pinned", c_uint32),
]
BlobInfo._fields_ = [
    ("struct_size", c_uint32),
    ("index", c_uint32),
    ("id", c_char * 72),
    ("features", c_uint32),
    ("compressor", c_uint32),
    ("digest", c_uint32),
    ("chunk_count", c_uint32),
    ("compressed_size", c_uint64),
    ("uncompressed_size", c_uint64),
    ("prefetch_size", c_uint64),
]
TraceInfo._fields_ = [
    ("struct_size", c_uint32),
    ("complete", c_uint32),
    ("blobs", c_uint32),
    ("events", c_uint32),
    ("duration_us", c_uint64),
    ("bootstrap", c_uint8 * 32),
]
TraceEvent._fields_ = [
    ("time_us", c_uint64),
    ("ino", c_uint64),
    ("file_offset", c_uint64),
    ("compressed_offset", c_uint64),
    ("length", c_uint32),
    ("compressed_size", c_uint32),
    ("blob", c_uint32),
    ("chunk", c_uint32),
]
SinkObject._fields_ = [
    ("struct_size", c_uint32),
    ("kind", c_uint32),
    ("size", c_uint64),
    ("sha256", c_uint8 * 32),
]
SinkOps._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("begin", CFUNCTYPE(c_int, c_void_p, c_uint32, POINTER(c_void_p), POINTER(Call), POINTER(Error))),
    ("write", CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_size_t, POINTER(Call), POINTER(Error))),
    ("commit", CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(SinkObject), POINTER(Call), POINTER(Error))),
    ("abort", CFUNCTYPE(None, c_void_p, c_void_p)),
    ("release", CFUNCTYPE(None, c_void_p)),
    ("has", CFUNCTYPE(c_int, c_void_p, c_char_p, c_uint64, POINTER(Call), POINTER(Error))),
]
IdMap._fields_ = [
    ("from", c_uint32),
    ("to", c_uint32),
    ("count", c_uint32),
]
BuildProgress._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("entries", c_uint64),
    ("bytes", c_uint64),
    ("bytes_total", c_uint64),
    ("stored", c_uint64),
    ("chunks", c_uint64),
    ("chunks_same", c_uint64),
]
BuildOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("version", c_uint32),
    ("compressor", c_uint32),
    ("level", c_int32),
    ("digest", c_uint32),
    ("chunk_size", c_uint32),
    ("batch_size", c_uint32),
    ("dedup", c_uint32),
    ("threads", c_uint32),
    ("owner_uid", c_uint32),
    ("owner_gid", c_uint32),
    ("mtime_max", c_int64),
    ("uid_maps", POINTER(IdMap)),
    ("uid_map_count", c_size_t),
    ("gid_maps", POINTER(IdMap)),
    ("gid_map_count", c_size_t),
    ("dictionaries", POINTER(c_void_p)),
    ("dictionary_count", c_size_t),
    ("store_index", c_char_p),
    ("prefetch", POINTER(c_char_p)),
    ("prefetch_count", c_size_t),
    ("exclude", POINTER(c_char_p)),
    ("exclude_count", c_size_t),
    ("progress", rafs_build_progress_fn),
    ("progress_user", c_void_p),
]
BuildLayer._fields_ = [
    ("struct_size", c_uint32),
    ("toc_size", c_uint32),
    ("blob_id", c_char_p),
    ("blob_size", c_uint64),
    ("toc_digest", c_void_p),
]
BuildXattr._fields_ = [
    ("name", c_char_p),
    ("value", c_void_p),
    ("size", c_size_t),
]
BuildEntry._fields_ = [
    ("struct_size", c_uint32),
    ("mode", c_uint32),
    ("path", c_char_p),
    ("uid", c_uint32),
    ("gid", c_uint32),
    ("rdev_major", c_uint32),
    ("rdev_minor", c_uint32),
    ("mtime_sec", c_int64),
    ("mtime_nsec", c_uint32),
    ("xattr_count", c_uint32),
    ("xattrs", POINTER(BuildXattr)),
    ("target", c_char_p),
    ("hardlink", c_char_p),
    ("size", c_uint64),
    ("read", rafs_stream_fn),
    ("user", c_void_p),
]
BuildResult._fields_ = [
    ("struct_size", c_uint32),
    ("blob_count", c_uint32),
    ("bootstrap_sha256", c_uint8 * 32),
    ("bootstrap_size", c_uint64),
    ("entries", c_uint64),
    ("inodes", c_uint64),
    ("skipped", c_uint64),
    ("file_bytes", c_uint64),
    ("chunks", c_uint64),
    ("stored_chunks", c_uint64),
    ("stored_bytes", c_uint64),
    ("same_file_bytes", c_uint64),
    ("same_image_bytes", c_uint64),
    ("same_dictionary_bytes", c_uint64),
    ("same_index_bytes", c_uint64),
]
BuildBlob._fields_ = [
    ("struct_size", c_uint32),
    ("written", c_uint32),
    ("size", c_uint64),
    ("uncompressed_size", c_uint64),
    ("chunks", c_uint32),
    ("layer", c_uint32),
    ("id", c_char * 72),
    ("toc_size", c_uint32),
    ("reserved", c_uint32),
    ("toc_digest", c_uint8 * 32),
]
CacheChunk._fields_ = [
    ("blob_id", c_char_p),
    ("digest", c_void_p),
    ("offset", c_uint64),
    ("size", c_uint32),
    ("digest_algorithm", c_uint32),
]
CacheOps._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("lease", CFUNCTYPE(c_int, c_void_p, c_char_p, POINTER(c_void_p), POINTER(Call), POINTER(Error))),
    ("unlease", CFUNCTYPE(None, c_void_p, c_void_p)),
    ("has", CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(CacheChunk))),
    ("lookup", CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(CacheChunk), c_void_p, POINTER(c_size_t), POINTER(Call), POINTER(Error))),
    ("store", CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(CacheChunk), c_void_p, POINTER(Call), POINTER(Error))),
    ("wrong", CFUNCTYPE(None, c_void_p, c_void_p, POINTER(CacheChunk))),
    ("begin", CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(CacheChunk), c_uint32, POINTER(c_void_p), POINTER(Call), POINTER(Error))),
    ("end", CFUNCTYPE(None, c_void_p, c_void_p, c_void_p)),
    ("find", CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Call), POINTER(Error))),
    ("keep", CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p, c_size_t, POINTER(Call), POINTER(Error))),
    ("release", CFUNCTYPE(None, c_void_p)),
]
CheckProgress._fields_ = [
    ("inodes_done", c_uint64),
    ("inodes_total", c_uint64),
    ("chunks_done", c_uint64),
    ("chunks_total", c_uint64),
    ("bytes_done", c_uint64),
    ("findings", c_uint64),
]
CheckOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("user", c_void_p),
    ("finding", CFUNCTYPE(None, c_void_p, POINTER(Error))),
    ("progress", CFUNCTYPE(None, c_void_p, POINTER(CheckProgress))),
]
CheckResult._fields_ = [
    ("struct_size", c_uint32),
    ("complete", c_uint32),
    ("inodes", c_uint64),
    ("chunks", c_uint64),
    ("bytes", c_uint64),
    ("corrupt", c_uint64),
    ("unreadable", c_uint64),
    ("unsupported", c_uint64),
    ("other", c_uint64),
]
Credential._fields_ = [
    ("struct_size", c_uint32),
    ("kind", c_uint32),
    ("username", c_char * 256),
    ("secret", c_char * 16384),
]
CredentialsSource._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("get", CFUNCTYPE(c_int, c_void_p, c_char_p, c_char_p, c_uint32, POINTER(Credential), POINTER(Call), POINTER(Error))),
    ("user", c_void_p),
    ("release", CFUNCTYPE(None, c_void_p)),
]
CredentialFiles._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("env", POINTER(Env)),
    ("auth_file", c_char_p),
    ("docker_config", c_char_p),
    ("helper_path", c_char_p),
    ("helper_environment", POINTER(c_char_p)),
]
RegistryMirror._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("url", c_char_p),
    ("http", c_void_p),
]
RegistryOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("credentials", POINTER(CredentialsSource)),
    ("platform", c_char_p),
    ("mirrors", POINTER(POINTER(RegistryMirror))),
    ("mirror_count", c_size_t),
]
OriginOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("env", POINTER(Env)),
    ("http", c_void_p),
    ("registry", POINTER(RegistryOptions)),
]
TargetOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("env", POINTER(Env)),
    ("http", c_void_p),
    ("registry", POINTER(RegistryOptions)),
    ("part_bytes", c_uint32),
    ("reserved", c_uint32),
]
ConvertProgress._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("layers_total", c_uint64),
    ("layers_done", c_uint64),
    ("bytes_total", c_uint64),
    ("bytes_done", c_uint64),
]
ConvertOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("build", POINTER(BuildOptions)),
    ("platform", c_char_p),
    ("cache_dir", c_char_p),
    ("threads", c_uint32),
    ("reserved", c_uint32),
    ("progress", rafs_convert_progress_fn),
    ("progress_user", c_void_p),
]
ConvertResult._fields_ = [
    ("struct_size", c_uint32),
    ("images", c_uint32),
    ("digest", c_uint8 * 32),
    ("layers", c_uint64),
    ("layers_reused", c_uint64),
    ("source_bytes", c_uint64),
    ("blob_bytes", c_uint64),
    ("built_bytes", c_uint64),
    ("file_bytes", c_uint64),
    ("skipped", c_uint64),
]
CopyProgress._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("blobs_total", c_uint64),
    ("blobs_done", c_uint64),
    ("bytes_total", c_uint64),
    ("bytes_done", c_uint64),
]
CopyOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("platform", c_char_p),
    ("threads", c_uint32),
    ("reserved", c_uint32),
    ("progress", rafs_copy_progress_fn),
    ("progress_user", c_void_p),
]
CopyResult._fields_ = [
    ("struct_size", c_uint32),
    ("manifests", c_uint32),
    ("digest", c_uint8 * 32),
    ("referrers", c_uint64),
    ("blobs", c_uint64),
    ("blobs_there", c_uint64),
    ("blobs_mounted", c_uint64),
    ("blobs_sent", c_uint64),
    ("bytes_sent", c_uint64),
]
Attr._fields_ = [
    ("ino", c_uint64),
    ("size", c_uint64),
    ("blocks", c_uint64),
    ("mtime_sec", c_int64),
    ("mtime_nsec", c_uint32),
    ("mode", c_uint32),
    ("nlink", c_uint32),
    ("uid", c_uint32),
    ("gid", c_uint32),
    ("rdev_major", c_uint32),
    ("rdev_minor", c_uint32),
    ("xattr_hint", c_uint32),
    ("reserved", c_uint64 * 3),
]
Dirent._fields_ = [
    ("ino", c_uint64),
    ("next_offset", c_uint64),
    ("name", c_char_p),
    ("name_len", c_uint32),
    ("type", c_uint32),
    ("attr", Attr),
]
WalkEntry._fields_ = [
    ("path", c_char_p),
    ("path_len", c_size_t),
    ("ino", c_uint64),
    ("parent", c_uint64),
    ("depth", c_uint32),
    ("reserved", c_uint32),
    ("attr", Attr),
]
ErofsProgress._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("written", c_uint64),
    ("total", c_uint64),
]
ErofsOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("progress", rafs_erofs_progress_fn),
    ("progress_user", c_void_p),
]
ErofsResult._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("size", c_uint64),
    ("sha256", c_uint8 * 32),
    ("devices", c_uint32),
    ("reserved", c_uint32),
    ("data_bytes", c_uint64),
]
FenceInfo._fields_ = [
    ("struct_size", c_uint32),
    ("blobs", c_uint32),
    ("entries", c_uint64),
    ("open", c_uint64),
]
Filled._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("begin", c_uint64),
    ("end", c_uint64),
]
LayoutOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("platform", c_char_p),
]
PrefetchRange._fields_ = [
    ("ino", c_uint64),
    ("offset", c_uint64),
    ("length", c_uint64),
]
PrefetchOptions._fields_ = [
    ("struct_size", c_uint32),
    ("what", c_uint32),
    ("flags", c_uint32),
    ("threads", c_uint32),
    ("bytes_per_second", c_uint64),
    ("paths", POINTER(c_char_p)),
    ("path_count", c_size_t),
    ("ranges", POINTER(PrefetchRange)),
    ("range_count", c_size_t),
    ("timeout_ms", c_uint64),
    ("trace", c_void_p),
]
PrefetchProgress._fields_ = [
    ("struct_size", c_uint32),
    ("ended", c_uint32),
    ("chunks_total", c_uint64),
    ("chunks_done", c_uint64),
    ("bytes_total", c_uint64),
    ("bytes_done", c_uint64),
    ("chunks_fetched", c_uint64),
    ("bytes_fetched", c_uint64),
    ("bytes_asked", c_uint64),
    ("chunks_failed", c_uint64),
    ("chunks_unkept", c_uint64),
    ("chunks_skipped", c_uint64),
]
Missing._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("chunks", c_uint64),
    ("bytes", c_uint64),
    ("chunks_missing", c_uint64),
    ("bytes_missing", c_uint64),
]
PushOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("backends", POINTER(c_void_p)),
    ("backend_count", c_size_t),
    ("config", c_char_p),
    ("config_len", c_size_t),
    ("platform", c_char_p),
    ("annotations", POINTER(c_char_p)),
    ("annotation_count", c_size_t),
    ("subject", c_char_p),
    ("subject_len", c_size_t),
    ("threads", c_uint32),
    ("reserved", c_uint32),
    ("progress", rafs_copy_progress_fn),
    ("progress_user", c_void_p),
]
Iovec._fields_ = [
    ("base", c_void_p),
    ("len", c_size_t),
]
Extent._fields_ = [
    ("file_offset", c_uint64),
    ("length", c_uint64),
    ("compressed_offset", c_uint64),
    ("uncompressed_offset", c_uint64),
    ("compressed_size", c_uint32),
    ("blob", c_uint32),
    ("chunk", c_uint32),
    ("flags", c_uint32),
    ("digest_algorithm", c_uint32),
    ("batch_offset", c_uint32),
    ("digest", c_uint8 * 32),
    ("reserved", c_uint64),
]
Stats._fields_ = [
    ("struct_size", c_uint32),
    ("reserved", c_uint32),
    ("chunks_cached", c_uint64),
    ("chunks_fetched", c_uint64),
    ("chunks_refused", c_uint64),
    ("requests", c_uint64),
    ("bytes_fetched", c_uint64),
    ("cache_bytes", c_uint64),
    ("cache_refused", c_uint64),
    ("hedges", c_uint64),
    ("hedges_won", c_uint64),
]
QueueRead._fields_ = [
    ("struct_size", c_uint32),
    ("iov_count", c_uint32),
    ("image", c_void_p),
    ("ino", c_uint64),
    ("offset", c_uint64),
    ("buf", c_void_p),
    ("len", c_size_t),
    ("iov", POINTER(Iovec)),
    ("deadline_ns", c_uint64),
    ("cancel", c_void_p),
    ("tag", c_uint64),
]
Completion._fields_ = [
    ("id", c_uint64),
    ("tag", c_uint64),
    ("nread", c_uint64),
    ("code", c_int32),
    ("reserved", c_uint32),
    ("error", Error),
]
QueueOptions._fields_ = [
    ("struct_size", c_uint32),
    ("flags", c_uint32),
    ("env", POINTER(Env)),
    ("depth", c_uint32),
    ("threads", c_uint32),
    ("complete", CFUNCTYPE(None, c_void_p, POINTER(Completion))),
    ("release", CFUNCTYPE(None, c_void_p)),
    ("user", c_void_p),
]
Metric._fields_ = [
    ("struct_size", c_uint32),
    ("id", c_uint32),
    ("kind", c_uint32),
    ("label_count", c_uint32),
    ("name", c_char_p),
    ("unit", c_char_p),
    ("help", c_char_p),
    ("labels", c_char_p * 2),
]
Sample._fields_ = [
    ("value", c_uint64),
    ("bound_ns", c_uint64),
    ("part", c_uint32),
    ("reserved", c_uint32),
    ("labels", c_char_p * 2),
    ("reserved2", c_uint64),
]
Failure._fields_ = [
    ("number", c_uint64),
    ("at_ns", c_uint64),
    ("unix_ns", c_uint64),
    ("cause", c_uint32),
    ("tries", c_uint32),
    ("source", c_char * 88),
    ("reserved", c_uint64),
    ("error", Error),
]
MetricsImage._fields_ = [
    ("image", c_void_p),
    ("name", c_char_p),
]

STRUCTS: dict[str, type[Structure]] = {
    "rafs_error": Error,
    "rafs_env": Env,
    "rafs_call": Call,
    "rafs_backend_ops": BackendOps,
    "rafs_p2p_options": P2pOptions,
    "rafs_http_options": HttpOptions,
    "rafs_bucket_key": BucketKey,
    "rafs_bucket_keys": BucketKeys,
    "rafs_bucket_options": BucketOptions,
    "rafs_cache_options": CacheOptions,
    "rafs_cache_entry": CacheEntry,
    "rafs_cache_gc_options": CacheGcOptions,
    "rafs_cache_gc_result": CacheGcResult,
    "rafs_cache_scrub_progress": CacheScrubProgress,
    "rafs_cache_scrub_options": CacheScrubOptions,
    "rafs_cache_scrub_result": CacheScrubResult,
    "rafs_limits": Limits,
    "rafs_open_options": OpenOptions,
    "rafs_image_info": ImageInfo,
    "rafs_blob_info": BlobInfo,
    "rafs_trace_info": TraceInfo,
    "rafs_trace_event": TraceEvent,
    "rafs_sink_object": SinkObject,
    "rafs_sink_ops": SinkOps,
    "rafs_id_map": IdMap,
    "rafs_build_progress": BuildProgress,
    "rafs_build_options": BuildOptions,
    "rafs_build_layer": BuildLayer,
    "rafs_build_xattr": BuildXattr,
    "rafs_build_entry": BuildEntry,
    "rafs_build_result": BuildResult,
    "rafs_build_blob": BuildBlob,
    "rafs_cache_chunk": CacheChunk,
    "rafs_cache_ops": CacheOps,
    "rafs_check_progress": CheckProgress,
    "rafs_check_options": CheckOptions,
    "rafs_check_result": CheckResult,
    "rafs_credential": Credential,
    "rafs_credentials_source": CredentialsSource,
    "rafs_credential_files": CredentialFiles,
    "rafs_registry_mirror": RegistryMirror,
    "rafs_registry_options": RegistryOptions,
    "rafs_origin_options": OriginOptions,
    "rafs_target_options": TargetOptions,
    "rafs_convert_progress": ConvertProgress,
    "rafs_convert_options": ConvertOptions,
    "rafs_convert_result": ConvertResult,
    "rafs_copy_progress": CopyProgress,
    "rafs_copy_options": CopyOptions,
    "rafs_copy_result": CopyResult,
    "rafs_attr": Attr,
    "rafs_dirent": Dirent,
    "rafs_walk_entry": WalkEntry,
    "rafs_erofs_progress": ErofsProgress,
    "rafs_erofs_options": ErofsOptions,
    "rafs_erofs_result": ErofsResult,
    "rafs_fence_info": FenceInfo,
    "rafs_filled": Filled,
    "rafs_layout_options": LayoutOptions,
    "rafs_prefetch_range": PrefetchRange,
    "rafs_prefetch_options": PrefetchOptions,
    "rafs_prefetch_progress": PrefetchProgress,
    "rafs_missing": Missing,
    "rafs_push_options": PushOptions,
    "rafs_iovec": Iovec,
    "rafs_extent": Extent,
    "rafs_stats": Stats,
    "rafs_queue_read": QueueRead,
    "rafs_completion": Completion,
    "rafs_queue_options": QueueOptions,
    "rafs_metric": Metric,
    "rafs_sample": Sample,
    "rafs_failure": Failure,
    "rafs_metrics_image": MetricsImage,
}

# name: (result, arguments)
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "rafs_backend_free": (None, [c_void_p]),
    "rafs_backend_new": (
        c_int,
        [
            POINTER(BackendOps), c_void_p, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_new_directory": (
        c_int,
        [
            c_char_p, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_new_fd": (
        c_int,
        [
            c_char_p, c_int32, c_uint64, c_uint64, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_new_http": (c_int, [c_void_p, c_char_p, POINTER(c_void_p), POINTER(Error)]),
    "rafs_backend_new_layout": (
        c_int,
        [
            c_char_p, POINTER(Env), POINTER(c_void_p), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_backend_new_memory": (
        c_int,
        [
            c_char_p, c_void_p, c_size_t, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_new_mirror": (
        c_int,
        [
            c_void_p, c_char_p, POINTER(RegistryMirror), POINTER(RegistryOptions),
            POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_new_oss": (
        c_int,
        [
            c_void_p, POINTER(BucketOptions), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_new_registry": (
        c_int,
        [
            c_void_p, c_char_p, POINTER(RegistryOptions), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_new_s3": (
        c_int,
        [
            c_void_p, POINTER(BucketOptions), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_backend_ops_init": (None, [POINTER(BackendOps)]),
    "rafs_bucket_key_init": (None, [POINTER(BucketKey)]),
    "rafs_bucket_keys_init": (None, [POINTER(BucketKeys)]),
    "rafs_bucket_options_init": (None, [POINTER(BucketOptions)]),
    "rafs_build_options_init": (None, [POINTER(BuildOptions)]),
    "rafs_builder_add_directory": (c_int, [c_void_p, c_char_p, POINTER(Call), POINTER(Error)]),
    "rafs_builder_add_entry": (
        c_int,
        [
            c_void_p, POINTER(BuildEntry), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_builder_add_image": (
        c_int,
        [
            c_void_p, c_void_p, POINTER(BuildLayer), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_builder_add_oci": (c_int, [c_void_p, c_void_p, c_char_p, POINTER(Call), POINTER(Error)]),
    "rafs_builder_add_optimized": (
        c_int,
        [
            c_void_p, c_void_p, c_void_p, POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_builder_add_tar": (
        c_int,
        [
            c_void_p, rafs_stream_fn, c_void_p, c_char_p, POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_builder_add_tar_fd": (c_int, [c_void_p, c_int, c_char_p, POINTER(Call), POINTER(Error)]),
    "rafs_builder_finish": (
        c_int,
        [
            c_void_p, POINTER(BuildResult), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_builder_free": (None, [c_void_p]),
    "rafs_builder_get_blob": (c_int, [c_void_p, c_uint32, POINTER(BuildBlob), POINTER(Error)]),
    "rafs_builder_new": (
        c_int,
        [
            POINTER(BuildOptions), c_void_p, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_builder_next_layer": (c_int, [c_void_p, POINTER(Call), POINTER(Error)]),
    "rafs_cache_close": (None, [c_void_p]),
    "rafs_cache_gc": (
        c_int,
        [
            c_void_p, POINTER(CacheGcOptions), POINTER(CacheGcResult), POINTER(Error)
        ],
    ),
    "rafs_cache_gc_options_init": (None, [POINTER(CacheGcOptions)]),
    "rafs_cache_list": (c_int, [c_void_p, c_uint32, rafs_cache_visit, c_void_p, POINTER(Error)]),
    "rafs_cache_new": (
        c_int,
        [
            POINTER(CacheOps), c_void_p, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_cache_open": (
        c_int,
        [
            c_char_p, POINTER(CacheOptions), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_cache_ops_init": (None, [POINTER(CacheOps)]),
    "rafs_cache_options_init": (None, [POINTER(CacheOptions)]),
    "rafs_cache_path": (
        c_int,
        [
            c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_cache_pin": (c_int, [c_void_p, c_char_p, POINTER(Error)]),
    "rafs_cache_scrub": (
        c_int,
        [
            c_void_p, POINTER(CacheScrubOptions), POINTER(CacheScrubResult), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_cache_scrub_options_init": (None, [POINTER(CacheScrubOptions)]),
    "rafs_cache_unpin": (c_int, [c_void_p, c_char_p, POINTER(Error)]),
    "rafs_call_count": (None, [POINTER(Call), c_uint32, c_uint64]),
    "rafs_call_init": (None, [POINTER(Call), POINTER(Env), c_uint64, c_void_p]),
    "rafs_cancel_fd": (c_int, [c_void_p]),
    "rafs_cancel_fire": (None, [c_void_p]),
    "rafs_cancel_fired": (c_int, [c_void_p]),
    "rafs_cancel_free": (None, [c_void_p]),
    "rafs_cancel_new": (c_int, [POINTER(c_void_p), POINTER(Error)]),
    "rafs_cancel_reset": (None, [c_void_p]),
    "rafs_cause_name": (c_char_p, [c_uint32]),
    "rafs_check_options_init": (None, [POINTER(CheckOptions)]),
    "rafs_convert": (
        c_int,
        [
            c_void_p, c_void_p, POINTER(ConvertOptions), POINTER(ConvertResult), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_convert_options_init": (None, [POINTER(ConvertOptions)]),
    "rafs_copy": (
        c_int,
        [
            c_void_p, c_void_p, POINTER(CopyOptions), POINTER(CopyResult), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_copy_options_init": (None, [POINTER(CopyOptions)]),
    "rafs_credential_files_init": (None, [POINTER(CredentialFiles)]),
    "rafs_credential_init": (None, [POINTER(Credential)]),
    "rafs_credentials_from_files": (
        c_int,
        [
            POINTER(CredentialFiles), c_char_p, c_char_p, c_uint32, POINTER(Credential),
            POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_credentials_source_init": (None, [POINTER(CredentialsSource)]),
    "rafs_digest_bytes": (c_int, [c_uint32, c_void_p, c_size_t, POINTER(c_uint8)]),
    "rafs_digest_name": (c_char_p, [c_uint32]),
    "rafs_dir_close": (None, [c_void_p]),
    "rafs_dir_next": (c_int, [c_void_p, POINTER(POINTER(Dirent)), POINTER(Error)]),
    "rafs_dir_open": (c_int, [c_void_p, c_uint64, c_uint32, POINTER(c_void_p), POINTER(Error)]),
    "rafs_dir_seek": (None, [c_void_p, c_uint64]),
    "rafs_env_init": (None, [POINTER(Env)]),
    "rafs_erofs_options_init": (None, [POINTER(ErofsOptions)]),
    "rafs_error_init": (None, [POINTER(Error)]),
    "rafs_error_name": (c_char_p, [c_int32]),
    "rafs_error_set": (c_int, [POINTER(Error), c_int32, c_int32, c_char_p, c_char_p]),
    "rafs_fence_free": (None, [c_void_p]),
    "rafs_fence_get_info": (c_int, [c_void_p, POINTER(FenceInfo), POINTER(Error)]),
    "rafs_fence_index": (c_int, [c_void_p, POINTER(Call), POINTER(Error)]),
    "rafs_fence_new": (c_int, [c_void_p, c_int32, POINTER(c_void_p), POINTER(Error)]),
    "rafs_fence_open": (
        c_int,
        [
            c_void_p, c_uint32, c_uint64, c_uint64, rafs_fence_there, c_void_p, POINTER(Error)
        ],
    ),
    "rafs_fence_shut": (c_int, [c_void_p, c_uint32, c_uint64, c_uint64, POINTER(Error)]),
    "rafs_hash_final": (c_int, [c_void_p, POINTER(c_uint8)]),
    "rafs_hash_free": (None, [c_void_p]),
    "rafs_hash_new": (c_int, [c_uint32, POINTER(Env), POINTER(c_void_p), POINTER(Error)]),
    "rafs_hash_update": (c_int, [c_void_p, c_void_p, c_size_t]),
    "rafs_http_free": (None, [c_void_p]),
    "rafs_http_new": (c_int, [POINTER(HttpOptions), POINTER(c_void_p), POINTER(Error)]),
    "rafs_http_options_init": (None, [POINTER(HttpOptions)]),
    "rafs_image_check": (
        c_int,
        [
            c_void_p, POINTER(CheckOptions), POINTER(CheckResult), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_close": (None, [c_void_p]),
    "rafs_image_fill": (
        c_int,
        [
            c_void_p, c_uint32, c_uint64, c_uint64, POINTER(Filled), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_fill_file": (
        c_int,
        [
            c_void_p, c_uint32, POINTER(c_int32), POINTER(c_uint64), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_fill_kept": (
        c_int,
        [
            c_void_p, c_uint32, c_uint64, c_uint64, POINTER(Filled), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_get_attr": (c_int, [c_void_p, c_uint64, POINTER(Attr), POINTER(Error)]),
    "rafs_image_get_blob": (c_int, [c_void_p, c_uint32, POINTER(BlobInfo), POINTER(Error)]),
    "rafs_image_get_counter": (c_int, [c_void_p, c_uint32, POINTER(c_uint64), POINTER(Error)]),
    "rafs_image_get_extents": (
        c_int,
        [
            c_void_p, c_uint64, c_uint64, POINTER(Extent), c_size_t, POINTER(c_size_t),
            POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_get_failures": (
        c_int,
        [
            c_void_p, c_uint64, POINTER(Failure), c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_image_get_info": (c_int, [c_void_p, POINTER(ImageInfo), POINTER(Error)]),
    "rafs_image_get_manifest": (c_int, [c_void_p, c_void_p, c_size_t, POINTER(Error)]),
    "rafs_image_get_missing": (
        c_int,
        [
            c_void_p, POINTER(Missing), c_size_t, POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_get_path": (
        c_int,
        [
            c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_get_prefetch": (
        c_int,
        [
            c_void_p, c_uint32, POINTER(c_uint64), c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_image_get_samples": (
        c_int,
        [
            c_void_p, c_uint32, c_size_t, POINTER(Sample), c_size_t, POINTER(c_size_t),
            POINTER(Error)
        ],
    ),
    "rafs_image_get_stats": (c_int, [c_void_p, POINTER(Stats), POINTER(Error)]),
    "rafs_image_get_xattr": (
        c_int,
        [
            c_void_p, c_uint64, c_char_p, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_image_list_xattr": (
        c_int,
        [
            c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_image_lookup": (
        c_int,
        [
            c_void_p, c_uint64, c_char_p, POINTER(c_uint64), POINTER(Error)
        ],
    ),
    "rafs_image_open_backend": (
        c_int,
        [
            c_void_p, c_char_p, POINTER(OpenOptions), POINTER(c_void_p), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_image_open_erofs": (
        c_int,
        [
            c_void_p, c_int32, c_uint64, POINTER(OpenOptions), POINTER(c_void_p), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_image_open_fd": (
        c_int,
        [
            c_int32, c_uint64, c_uint64, POINTER(OpenOptions), POINTER(c_void_p), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_image_open_layout": (
        c_int,
        [
            c_char_p, c_char_p, POINTER(LayoutOptions), POINTER(OpenOptions), POINTER(c_void_p),
            POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_open_memory": (
        c_int,
        [
            c_void_p, c_size_t, POINTER(OpenOptions), POINTER(c_void_p), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_image_open_path": (
        c_int,
        [
            c_char_p, POINTER(OpenOptions), POINTER(c_void_p), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_open_registry": (
        c_int,
        [
            c_void_p, c_char_p, POINTER(RegistryOptions), POINTER(OpenOptions), POINTER(c_void_p),
            POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_pin": (c_int, [c_void_p, POINTER(Error)]),
    "rafs_image_read": (
        c_int,
        [
            c_void_p, c_uint64, c_uint64, c_size_t, c_void_p, POINTER(c_size_t), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_image_readdir": (
        c_int,
        [
            c_void_p, c_uint64, c_uint64, c_uint32, POINTER(Dirent), c_size_t, c_void_p, c_size_t,
            POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_image_readlink": (
        c_int,
        [
            c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_image_readv": (
        c_int,
        [
            c_void_p, c_uint64, c_uint64, POINTER(Iovec), c_size_t, POINTER(c_size_t),
            POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_image_resolve": (
        c_int,
        [
            c_void_p, c_char_p, c_uint32, POINTER(c_uint64), POINTER(Error)
        ],
    ),
    "rafs_image_unpin": (c_int, [c_void_p, POINTER(Error)]),
    "rafs_image_write_erofs": (
        c_int,
        [
            c_void_p, POINTER(ErofsOptions), rafs_write_fn, c_void_p, POINTER(ErofsResult),
            POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_layout_options_init": (None, [POINTER(LayoutOptions)]),
    "rafs_metric_count": (c_uint32, []),
    "rafs_metric_get": (c_int, [c_uint32, POINTER(Metric), POINTER(Error)]),
    "rafs_metrics_write": (
        c_int,
        [
            POINTER(MetricsImage), c_size_t, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_open_options_init": (None, [POINTER(OpenOptions)]),
    "rafs_origin_close": (None, [c_void_p]),
    "rafs_origin_open": (
        c_int,
        [
            c_char_p, POINTER(OriginOptions), POINTER(c_void_p), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_origin_options_init": (None, [POINTER(OriginOptions)]),
    "rafs_p2p_options_init": (None, [POINTER(P2pOptions)]),
    "rafs_prefetch_cancel": (None, [c_void_p]),
    "rafs_prefetch_fd": (c_int, [c_void_p]),
    "rafs_prefetch_free": (None, [c_void_p]),
    "rafs_prefetch_get_progress": (c_int, [c_void_p, POINTER(PrefetchProgress), POINTER(Error)]),
    "rafs_prefetch_options_init": (None, [POINTER(PrefetchOptions)]),
    "rafs_prefetch_start": (
        c_int,
        [
            c_void_p, POINTER(PrefetchOptions), POINTER(c_void_p), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_prefetch_wait": (c_int, [c_void_p, POINTER(Call), POINTER(Error)]),
    "rafs_push": (
        c_int,
        [
            c_char_p, c_void_p, POINTER(PushOptions), POINTER(CopyResult), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_push_options_init": (None, [POINTER(PushOptions)]),
    "rafs_queue_cancel": (c_int, [c_void_p, c_uint64]),
    "rafs_queue_cancel_all": (c_size_t, [c_void_p]),
    "rafs_queue_drain": (c_int, [c_void_p, POINTER(Call), POINTER(Error)]),
    "rafs_queue_fd": (c_int, [c_void_p]),
    "rafs_queue_free": (None, [c_void_p]),
    "rafs_queue_new": (c_int, [POINTER(QueueOptions), POINTER(c_void_p), POINTER(Error)]),
    "rafs_queue_options_init": (None, [POINTER(QueueOptions)]),
    "rafs_queue_read_init": (None, [POINTER(QueueRead)]),
    "rafs_queue_reap": (
        c_int,
        [
            c_void_p, POINTER(Completion), c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_queue_submit": (
        c_int,
        [
            c_void_p, POINTER(QueueRead), POINTER(c_uint64), POINTER(Error)
        ],
    ),
    "rafs_registry_host": (c_int, [c_char_p, c_void_p, c_size_t, POINTER(Error)]),
    "rafs_registry_mirror_init": (None, [POINTER(RegistryMirror)]),
    "rafs_registry_options_init": (None, [POINTER(RegistryOptions)]),
    "rafs_sink_free": (None, [c_void_p]),
    "rafs_sink_new": (
        c_int,
        [
            POINTER(SinkOps), c_void_p, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_sink_new_directory": (
        c_int,
        [
            c_char_p, c_char_p, c_uint32, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_sink_ops_init": (None, [POINTER(SinkOps)]),
    "rafs_stage_name": (c_char_p, [c_uint32]),
    "rafs_target_close": (None, [c_void_p]),
    "rafs_target_finish": (c_int, [c_void_p, POINTER(Call), POINTER(Error)]),
    "rafs_target_has_blob": (
        c_int,
        [
            c_void_p, c_void_p, POINTER(c_uint64), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_target_mount_blob": (
        c_int,
        [
            c_void_p, c_void_p, c_char_p, POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_target_open": (
        c_int,
        [
            c_char_p, POINTER(TargetOptions), POINTER(c_void_p), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_target_options_init": (None, [POINTER(TargetOptions)]),
    "rafs_target_put_manifest": (
        c_int,
        [
            c_void_p, c_void_p, c_size_t, c_char_p, c_char_p, POINTER(c_uint8), POINTER(Call),
            POINTER(Error)
        ],
    ),
    "rafs_target_tag": (c_char_p, [c_void_p]),
    "rafs_trace_find": (c_int, [c_void_p, POINTER(c_void_p), POINTER(Call), POINTER(Error)]),
    "rafs_trace_free": (None, [c_void_p]),
    "rafs_trace_get_blob": (
        c_int,
        [
            c_void_p, c_uint32, c_void_p, POINTER(c_uint64), POINTER(Error)
        ],
    ),
    "rafs_trace_get_events": (
        c_int,
        [
            c_void_p, c_uint32, POINTER(TraceEvent), c_size_t, POINTER(c_size_t), POINTER(Error)
        ],
    ),
    "rafs_trace_get_info": (c_int, [c_void_p, POINTER(TraceInfo), POINTER(Error)]),
    "rafs_trace_keep": (c_int, [c_void_p, POINTER(Call), POINTER(Error)]),
    "rafs_trace_load": (
        c_int,
        [
            c_void_p, c_size_t, POINTER(Env), POINTER(c_void_p), POINTER(Error)
        ],
    ),
    "rafs_trace_load_path": (c_int, [c_char_p, POINTER(Env), POINTER(c_void_p), POINTER(Error)]),
    "rafs_trace_save": (c_int, [c_void_p, c_void_p, c_size_t, POINTER(c_size_t), POINTER(Error)]),
    "rafs_trace_save_path": (c_int, [c_void_p, c_char_p, POINTER(Error)]),
    "rafs_trace_start": (c_int, [c_void_p, POINTER(Error)]),
    "rafs_trace_take": (c_int, [c_void_p, POINTER(c_void_p), POINTER(Call), POINTER(Error)]),
    "rafs_upload_commit": (
        c_int,
        [
            c_void_p, c_void_p, POINTER(c_uint8), POINTER(c_uint64), POINTER(Call), POINTER(Error)
        ],
    ),
    "rafs_upload_free": (None, [c_void_p]),
    "rafs_upload_new": (c_int, [c_void_p, POINTER(c_void_p), POINTER(Call), POINTER(Error)]),
    "rafs_upload_write": (c_int, [c_void_p, c_void_p, c_size_t, POINTER(Call), POINTER(Error)]),
    "rafs_version": (c_char_p, []),
    "rafs_walk_close": (None, [c_void_p]),
    "rafs_walk_next": (c_int, [c_void_p, POINTER(POINTER(WalkEntry)), POINTER(Error)]),
    "rafs_walk_open": (c_int, [c_void_p, c_char_p, c_uint32, POINTER(c_void_p), POINTER(Error)]),
    "rafs_walk_skip": (None, [c_void_p]),
}
