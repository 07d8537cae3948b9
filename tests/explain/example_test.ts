/** The example of rules under test is itself a test. */
import "../../examples/rules_test.ts";
