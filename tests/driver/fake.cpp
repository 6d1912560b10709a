// A libcuda for tests: answers like NVIDIA's driver, refuses what a capture forbids, keeps a log of every call. With
// -DEXECUTE (linked with the simulated device) launches run the kernels on the host; without, they do nothing.
//
// Environment: FAKE_LOG (file, appended to), FAKE_DEVICES, FAKE_CAPABILITY (75: 7.5), FAKE_MEMORY (bytes), FAKE_FAIL
// (function:code or function:code:nth call that returns it), FAKE_SKIP (a kernel that does nothing).
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "ptx.h"
#ifdef EXECUTE
#include "sim/api.h"
#endif

namespace {

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
       INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, CAPTURE_UNSUPPORTED = 900 };

struct Node {
    Function* function;
    unsigned grid[3], block[3], shared;
    std::vector<std::vector<unsigned char>> parameters;
};
struct Graph { std::vector<Node> nodes; };
struct Stream { Graph* capture = nullptr; };
struct Event { bool recorded = false; };

bool initialised = false;
thread_local void* current = nullptr;
std::map<uint64_t, size_t> memory;
long handles = 0;  // contexts, streams, events, modules, graphs, allocations that are alive

const char* setting(const char* name, const char* otherwise) {
    const char* found = getenv(name);
    return found ? found : otherwise;
}

void record(const char* format, ...) {
    const char* path = getenv("FAKE_LOG");
    if (!path) return;
    FILE* file = fopen(path, "a");
    if (!file) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fputc('\n', file);
    fclose(file);
}

// The code that FAKE_FAIL asks this call of `function` to return.
int planned(const char* function) {
    static std::map<std::string, int> calls;
    std::string text = setting("FAKE_FAIL", "");
    size_t colon = text.find(':');
    if (colon == std::string::npos || text.substr(0, colon) != function) return OK;
    int code = 0, nth = 1;
    sscanf(text.c_str() + colon + 1, "%d:%d", &code, &nth);
    return ++calls[function] == nth ? code : OK;
}

#define BEGIN(function)                                      \
    if (int code = planned(#function)) return code;          \
    if (!initialised) return NOT_INITIALIZED

#define IN_CONTEXT(function) \
    BEGIN(function);         \
    if (!current) return INVALID_CONTEXT

Stream* capturing = nullptr;

// What a capture in progress forbids.
int forbidden(const char* function) {
    if (!capturing) return OK;
    record("forbidden %s", function);
    return CAPTURE_UNSUPPORTED;
}

bool inside(uint64_t start, size_t bytes) {
    for (auto& [base, size] : memory)
        if (start >= base && start + bytes <= base + size) return true;
    return false;
}

#ifdef EXECUTE
int execute(const Node& node) {
    if (node.function->name == setting("FAKE_SKIP", "")) return OK;
    // Kernels of more work than the host can do.
    if (node.function->name.rfind("ceiling_", 0) == 0) return OK;
    for (size_t kernel = 0; kernel < sim_kernel_count(); kernel++) {
        if (node.function->name != sim_kernel_name(kernel)) continue;
        size_t count = sim_parameter_count(kernel);
        bool same = count == node.parameters.size();
        for (size_t i = 0; same && i < count; i++) same = sim_parameter_size(kernel, i) == node.parameters[i].size();
        if (!same) {
            record("parameters of %s differ between PTX and source", node.function->name.c_str());
            return INVALID_VALUE;
        }
        std::vector<const void*> parameters;
        for (auto& bytes : node.parameters) parameters.push_back(bytes.data());
        SimOptions options{};
        options.dropped_line = -1;
        if (!sim_launch(kernel, node.grid, node.block, node.shared, parameters.data(), &options)) return OK;
        record("failed %s: %s", node.function->name.c_str(), sim_error());
        return 719;
    }
    record("no kernel %s", node.function->name.c_str());
    return NOT_FOUND;
}
#else
int execute(const Node&) { return OK; }
#endif

}  // namespace

extern "C" {

int cuInit(unsigned) {
    if (int code = planned("cuInit")) return code;
    if (atoi(setting("FAKE_DEVICES", "1")) == 0) return NO_DEVICE;
    initialised = true;
    return OK;
}

int cuDriverGetVersion(int* version) {
    *version = 12040;
    return OK;
}

int cuGetErrorName(int, const char** text) {
    *text = "CUDA_ERROR_OF_A_TEST";
    return OK;
}

int cuGetErrorString(int code, const char** text) {
    *text = code == 700 ? "an illegal memory access was encountered" : "an error of a test";
    return OK;
}

int cuDeviceGetCount(int* count) {
    BEGIN(cuDeviceGetCount);
    *count = atoi(setting("FAKE_DEVICES", "1"));
    return OK;
}

int cuDeviceGet(int* device, int ordinal) {
    BEGIN(cuDeviceGet);
    *device = ordinal;
    return ordinal < atoi(setting("FAKE_DEVICES", "1")) ? OK : INVALID_DEVICE;
}

int cuDeviceGetName(char* name, int bytes, int device) {
    BEGIN(cuDeviceGetName);
    snprintf(name, bytes, "Fake GPU %d", device);
    return OK;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
    BEGIN(cuDeviceGetAttribute);
    int capability = atoi(setting("FAKE_CAPABILITY", "80"));
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : attribute == 16 ? 108 : 0;
    return OK;
}

int cuDeviceTotalMem_v2(size_t* bytes, int) {
    BEGIN(cuDeviceTotalMem_v2);
    *bytes = strtoull(setting("FAKE_MEMORY", "4294967296"), nullptr, 10);
    return OK;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
    BEGIN(cuDevicePrimaryCtxRetain);
    static int primary;
    *context = &primary;
    handles++;
    return OK;
}

int cuDevicePrimaryCtxRelease_v2(int) {
    BEGIN(cuDevicePrimaryCtxRelease_v2);
    handles--;
    record("released, %ld handles left", handles);
    return OK;
}

int cuCtxSetCurrent(void* context) {
    BEGIN(cuCtxSetCurrent);
    current = context;
    return OK;
}

int cuStreamCreate(Stream** stream, unsigned) {
    IN_CONTEXT(cuStreamCreate);
    *stream = new Stream;
    handles++;
    return OK;
}

int cuStreamDestroy_v2(Stream* stream) {
    IN_CONTEXT(cuStreamDestroy_v2);
    delete stream;
    handles--;
    return OK;
}

int cuStreamSynchronize(Stream*) {
    IN_CONTEXT(cuStreamSynchronize);
    record("cuStreamSynchronize");
    return forbidden("cuStreamSynchronize");
}

int cuMemAlloc_v2(uint64_t* start, size_t bytes) {
    IN_CONTEXT(cuMemAlloc_v2);
    if (int code = forbidden("cuMemAlloc_v2")) return code;
    record("cuMemAlloc_v2 %zu", bytes);
    if (bytes > strtoull(setting("FAKE_MEMORY", "4294967296"), nullptr, 10)) return OUT_OF_MEMORY;
#ifdef EXECUTE
    void* found = sim_allocate(bytes);
#else
    void* found = aligned_alloc(256, (bytes + 255) / 256 * 256);
#endif
    if (!found) return OUT_OF_MEMORY;
    *start = reinterpret_cast<uint64_t>(found);
    memory[*start] = bytes;
    handles++;
    return OK;
}

int cuMemFree_v2(uint64_t start) {
    IN_CONTEXT(cuMemFree_v2);
    if (!memory.erase(start)) return INVALID_VALUE;
#ifdef EXECUTE
    sim_free(reinterpret_cast<void*>(start));
#else
    free(reinterpret_cast<void*>(start));
#endif
    handles--;
    return OK;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream*) {
    IN_CONTEXT(cuMemcpyHtoDAsync_v2);
    if (int code = forbidden("cuMemcpyHtoDAsync_v2")) return code;
    record("cuMemcpyHtoDAsync_v2 %zu", bytes);
    if (!inside(to, bytes)) return INVALID_VALUE;
    memcpy(reinterpret_cast<void*>(to), from, bytes);
    return OK;
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream*) {
    IN_CONTEXT(cuMemcpyDtoHAsync_v2);
    if (int code = forbidden("cuMemcpyDtoHAsync_v2")) return code;
    record("cuMemcpyDtoHAsync_v2 %zu", bytes);
    if (!inside(from, bytes)) return INVALID_VALUE;
    memcpy(to, reinterpret_cast<void*>(from), bytes);
    return OK;
}

int cuMemsetD8Async(uint64_t start, unsigned char value, size_t bytes, Stream*) {
    IN_CONTEXT(cuMemsetD8Async);
    if (int code = forbidden("cuMemsetD8Async")) return code;
    if (!inside(start, bytes)) return INVALID_VALUE;
    memset(reinterpret_cast<void*>(start), value, bytes);
    return OK;
}

int cuModuleLoadData(Module** module, const void* image) {
    IN_CONTEXT(cuModuleLoadData);
    if (int code = forbidden("cuModuleLoadData")) return code;
    const char* text = static_cast<const char*>(image);
    if (strncmp(text, "//", 2) != 0 || !strstr(text, ".version 7.0")) return 218;
    *module = parse(text);
    record("cuModuleLoadData %s", (*module)->functions.empty() ? "nothing" : (*module)->functions.begin()->first.c_str());
    handles++;
    return OK;
}

int cuModuleUnload(Module* module) {
    IN_CONTEXT(cuModuleUnload);
    delete module;
    handles--;
    return OK;
}

int cuModuleGetFunction(Function** function, Module* module, const char* name) {
    IN_CONTEXT(cuModuleGetFunction);
    auto found = module->functions.find(name);
    if (found == module->functions.end()) return NOT_FOUND;
    *function = &found->second;
    return OK;
}

int cuFuncSetAttribute(Function* function, int attribute, int value) {
    IN_CONTEXT(cuFuncSetAttribute);
    if (attribute != 8 || value < 0 || value > 163 << 10) return INVALID_VALUE;
    record("cuFuncSetAttribute %s %d", function->name.c_str(), value);
    function->shared = value;
    return OK;
}

int cuLaunchKernel(Function* function, unsigned x, unsigned y, unsigned z, unsigned a, unsigned b, unsigned c, unsigned shared,
                   Stream* stream, void** parameters, void**) {
    IN_CONTEXT(cuLaunchKernel);
    if (shared > function->shared || x == 0 || y == 0 || z == 0 || y > 65535 || z > 65535 || a * b * c > 1024)
        return INVALID_VALUE;
    Node node{function, {x, y, z}, {a, b, c}, shared, {}};
    for (size_t i = 0; i < function->parameters.size(); i++) {
        auto bytes = static_cast<unsigned char*>(parameters[i]);
        node.parameters.emplace_back(bytes, bytes + function->parameters[i]);
    }
    if (stream->capture) {
        stream->capture->nodes.push_back(node);
        return OK;
    }
    record("cuLaunchKernel %s", function->name.c_str());
    return execute(node);
}

int cuStreamBeginCapture_v2(Stream* stream, int) {
    IN_CONTEXT(cuStreamBeginCapture_v2);
    if (int code = forbidden("cuStreamBeginCapture_v2")) return code;
    record("cuStreamBeginCapture_v2");
    stream->capture = new Graph;
    capturing = stream;
    handles++;
    return OK;
}

int cuStreamEndCapture(Stream* stream, Graph** graph) {
    IN_CONTEXT(cuStreamEndCapture);
    if (!stream->capture) return INVALID_VALUE;
    *graph = stream->capture;
    record("cuStreamEndCapture %zu", (*graph)->nodes.size());
    stream->capture = nullptr;
    capturing = nullptr;
    return OK;
}

int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
    IN_CONTEXT(cuGraphInstantiateWithFlags);
    *executable = new Graph(*graph);
    handles++;
    return OK;
}

#ifndef WITHOUT_GRAPH_UPLOAD
int cuGraphUpload(Graph*, Stream*) {
    IN_CONTEXT(cuGraphUpload);
    return OK;
}
#endif

int cuGraphLaunch(Graph* graph, Stream*) {
    IN_CONTEXT(cuGraphLaunch);
    if (int code = forbidden("cuGraphLaunch")) return code;
    record("cuGraphLaunch %zu", graph->nodes.size());
    for (auto& node : graph->nodes)
        if (int code = execute(node)) return code;
    return OK;
}

int cuGraphDestroy(Graph* graph) {
    IN_CONTEXT(cuGraphDestroy);
    delete graph;
    handles--;
    return OK;
}

int cuGraphExecDestroy(Graph* graph) { return cuGraphDestroy(graph); }

int cuEventCreate(Event** event, unsigned) {
    IN_CONTEXT(cuEventCreate);
    *event = new Event;
    handles++;
    return OK;
}

int cuEventRecord(Event* event, Stream*) {
    IN_CONTEXT(cuEventRecord);
    event->recorded = true;
    return OK;
}

int cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
    IN_CONTEXT(cuEventElapsedTime);
    if (!start->recorded || !end->recorded) return INVALID_HANDLE;
    *milliseconds = 0.5f;
    return OK;
}

int cuEventDestroy_v2(Event* event) {
    IN_CONTEXT(cuEventDestroy_v2);
    delete event;
    handles--;
    return OK;
}
}
