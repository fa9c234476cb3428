# What keeps the tree itself in order: layers, headers, house rules, and the scripts in launch/.
pawl_script(layers 60 ${PROJECT_SOURCE_DIR}/tests/layers.sh ${PROJECT_SOURCE_DIR})
pawl_script(tree_checks 60 ${PROJECT_SOURCE_DIR}/tests/tree_checks.sh ${CMAKE_C_COMPILER} ${CMAKE_CXX_COMPILER})
pawl_script(headers 120 ${PROJECT_SOURCE_DIR}/tests/headers.sh ${CMAKE_C_COMPILER} ${CMAKE_CXX_COMPILER} ${PROJECT_SOURCE_DIR})
pawl_script(house_rules 60 ${PROJECT_SOURCE_DIR}/tests/house_rules.sh ${PROJECT_SOURCE_DIR})
pawl_script(outer_scripts 120 ${PROJECT_SOURCE_DIR}/tests/outer_scripts.sh ${PROJECT_SOURCE_DIR})
pawl_script(promises 60 ${PROJECT_SOURCE_DIR}/tests/promises.sh ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_BINARY_DIR})
# What docs/gpu-estimates.md says is what its script makes.
pawl_script(gpu_estimates 20 ${PAWL_PYTHON} ${PROJECT_SOURCE_DIR}/tests/bench/gpu_estimates.py ${PROJECT_SOURCE_DIR}/docs/gpu-estimates.md)
pawl_script(quickstart_texts 60 ${PAWL_PYTHON} ${PROJECT_SOURCE_DIR}/tests/quickstart_texts.py)
pawl_script(quickstart_dictionary 60 ${PAWL_PYTHON} ${PROJECT_SOURCE_DIR}/tests/quickstart_dictionary.py)
# Each configs/recipes/*.yaml resolves and plans.
pawl_script(recipes 120 ${PAWL_PYTHON} ${PROJECT_SOURCE_DIR}/tests/recipes.py)
# All of the README's first command, in a folder of its own; it fetches what is not there yet. Then without a network: an index
# that nobody serves, and an empty cache.
pawl_script(quickstart 1800 ${PROJECT_SOURCE_DIR}/launch/quickstart ${CMAKE_CURRENT_BINARY_DIR}/quickstart)
pawl_script(quickstart_scratch 1800 ${CMAKE_COMMAND} -E env XDG_CACHE_HOME=${CMAKE_CURRENT_BINARY_DIR}/no-cache
  PIP_INDEX_URL=http://127.0.0.1:9/ PIP_RETRIES=0 ${PROJECT_SOURCE_DIR}/launch/quickstart ${CMAKE_CURRENT_BINARY_DIR}/quickstart-scratch)
set_tests_properties(quickstart quickstart_scratch PROPERTIES LABELS long RESOURCE_LOCK build_release) # both bring it up to date
set_tests_properties(quickstart_scratch PROPERTIES PASS_REGULAR_EXPRESSION "trained from nothing instead.*Where the model comes from.*Done"
  FAIL_REGULAR_EXPRESSION "quickstart: ")
