// What the driver of fake.cpp reads in PTX: kernels by name, and the sizes of their parameters.
#pragma once
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

struct Function {
    std::string name;
    std::vector<size_t> parameters;  // bytes of each
    unsigned shared = 48 << 10;      // most dynamic shared memory
};
struct Module { std::map<std::string, Function> functions; };

// The entry of a PTX text and the sizes of its parameters: `.param .align 8 .b8 name[24]`, `.param .u64 name`.
inline Module* parse(const char* text) {
    auto module = new Module;
    Function* function = nullptr;
    for (const char* line = text; *line;) {
        const char* end = strchr(line, '\n');
        std::string words(line, end ? end - line : strlen(line));
        line = end ? end + 1 : line + strlen(line);
        if (words.rfind(".visible .entry ", 0) == 0) {
            std::string name = words.substr(16, words.find('(') - 16);
            function = &module->functions[name];
            function->name = name;
        } else if (function && words.find(".param ") != std::string::npos && words.find("ld.param") == std::string::npos) {
            size_t bracket = words.find('[');
            size_t bytes = bracket != std::string::npos        ? strtoul(words.c_str() + bracket + 1, nullptr, 10)
                           : words.find("64 ") != std::string::npos ? 8
                           : words.find("32 ") != std::string::npos ? 4
                                                                    : 0;
            function->parameters.push_back(bytes);
        } else if (words == "{") {
            function = nullptr;
        }
    }
    return module;
}
