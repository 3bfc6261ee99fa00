/* SPDX-License-Identifier: Apache-2.0 */
/* The only C++ of the project: the packaged TOML libraries are made of it. */
#include "hosts.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace
{

struct Wrong : std::runtime_error {
    Wrong(const toml::node &at, const std::string &what)
        : std::runtime_error("line " + std::to_string(at.source().begin.line) + ": " +
                             what)
    {
    }
};

char *copy(const std::string &text)
{
    if (text.find('\0') != std::string::npos || text.find('\n') != std::string::npos ||
        text.find('\r') != std::string::npos)
        throw std::runtime_error("a value with a line break in it");
    char *out = strdup(text.c_str());
    if (!out)
        throw std::bad_alloc();
    return out;
}

const std::string &text_of(const toml::node &node, const char *key)
{
    const auto *text = node.as_string();
    if (!text)
        throw Wrong(node, std::string(key) + " is no text");
    return text->get();
}

bool flag_of(const toml::table &table, const char *key)
{
    const toml::node *node = table.get(key);
    if (!node)
        return false;
    const auto *flag = node->as_boolean();
    if (!flag)
        throw Wrong(*node, std::string(key) + " is neither true nor false");
    return flag->get();
}

/* "pull", "resolve", "push" and what will come, of which only two matter to a reader. */
void take_capabilities(const toml::table &table, hosts_entry &out)
{
    const toml::node *node = table.get("capabilities");
    out.pull = out.resolve = !node;
    if (!node)
        return;
    const toml::array *list = node->as_array();
    if (!list)
        throw Wrong(*node, "capabilities is no list");
    for (const toml::node &one : *list) {
        const std::string &name = text_of(one, "capabilities");
        out.pull |= name == "pull";
        out.resolve |= name == "resolve";
    }
    if (list->empty())
        out.pull = out.resolve = true;
}

/* A text, or a list with one in it. */
const toml::node *only(const toml::node &node, const char *key)
{
    const toml::array *list = node.as_array();
    if (!list)
        return &node;
    if (list->size() > 1)
        throw Wrong(node, std::string("more than one ") + key + "; put them in one file");
    return list->get(0);
}

void take_client(const toml::node &node, hosts_entry &out)
{
    const toml::node *one = only(node, "client");
    if (!one)
        return;
    const toml::array *pair = one->as_array();
    if (!pair) {
        out.cert = copy(text_of(*one, "client"));
        return;
    }
    if (pair->empty() || pair->size() > 2)
        throw Wrong(node, "client is no certificate, or certificate and key");
    out.cert = copy(text_of(*pair->get(0), "client"));
    if (pair->size() == 2)
        out.key = copy(text_of(*pair->get(1), "client"));
}

void add_header(const std::string &name, const toml::node &value, hosts_entry &out)
{
    if (out.header_count == HOSTS_HEADERS_MAX)
        throw Wrong(value, "too many headers");
    out.headers[out.header_count] = copy(name + ": " + text_of(value, "header"));
    out.header_count++;
}

void take_headers(const toml::node &node, hosts_entry &out)
{
    const toml::table *table = node.as_table();
    if (!table)
        throw Wrong(node, "header is no table");
    for (const auto &entry : *table) {
        const std::string name(entry.first.str());
        const toml::array *list = entry.second.as_array();
        if (!list)
            add_header(name, entry.second, out);
        for (size_t i = 0; list && i < list->size(); i++)
            add_header(name, *list->get(i), out);
    }
}

/* https is what is meant where no scheme is written. */
std::string url_of(const std::string &name)
{
    return name.rfind("http://", 0) == 0 || name.rfind("https://", 0) == 0
               ? name
               : "https://" + name;
}

void take_host(const std::string &name, const toml::table &table, hosts_entry &out)
{
    out.url = copy(url_of(name));
    take_capabilities(table, out);
    out.override_path = flag_of(table, "override_path");
    out.skip_verify = flag_of(table, "skip_verify");
    if (const toml::node *ca = table.get("ca"))
        if (const toml::node *one = only(*ca, "ca"))
            out.ca = copy(text_of(*one, "ca"));
    if (const toml::node *client = table.get("client"))
        take_client(*client, out);
    if (const toml::node *header = table.get("header"))
        take_headers(*header, out);
}

struct Named {
    std::string name;
    const toml::table *table;
};

/* Tables are kept by name; they are meant to be asked in the order of the file. */
std::vector<Named> hosts_in_order(const toml::table &file)
{
    std::vector<Named> hosts;
    const toml::node *node = file.get("host");
    if (!node)
        return hosts;
    const toml::table *table = node->as_table();
    if (!table)
        throw Wrong(*node, "host is no table");
    for (const auto &entry : *table) {
        const toml::table *host = entry.second.as_table();
        if (!host)
            throw Wrong(entry.second, "a host that is no table");
        hosts.push_back({std::string(entry.first.str()), host});
    }
    std::stable_sort(hosts.begin(), hosts.end(), [](const Named &a, const Named &b) {
        return a.table->source().begin < b.table->source().begin;
    });
    return hosts;
}

void read(const char *path, hosts_file &out)
{
    const toml::table file = toml::parse_file(path);
    for (const Named &host : hosts_in_order(file)) {
        if (out.count == HOSTS_MAX)
            throw Wrong(*host.table, "more hosts than can be asked");
        take_host(host.name, *host.table, out.entries[out.count++]);
    }
    if (const toml::node *server = file.get("server")) {
        if (out.count == HOSTS_MAX)
            throw Wrong(*server, "more hosts than can be asked");
        hosts_entry &entry = out.entries[out.count++];
        take_host(text_of(*server, "server"), file, entry);
        entry.server = true;
    }
}

} // namespace

bool hosts_read(const char *path, struct hosts_file *out)
{
    std::memset(out, 0, sizeof *out);
    try {
        read(path, *out);
        return true;
    } catch (const toml::parse_error &error) {
        std::snprintf(out->error, sizeof out->error, "line %u: %.200s",
                      static_cast<unsigned>(error.source().begin.line),
                      std::string(error.description()).c_str());
    } catch (const std::exception &error) {
        std::snprintf(out->error, sizeof out->error, "%.250s", error.what());
    }
    return false;
}

void hosts_free(struct hosts_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        hosts_entry &entry = file->entries[i];
        for (size_t j = 0; j < entry.header_count; j++)
            std::free(entry.headers[j]);
        std::free(entry.url);
        std::free(entry.ca);
        std::free(entry.cert);
        std::free(entry.key);
    }
    std::memset(file, 0, sizeof *file);
}
